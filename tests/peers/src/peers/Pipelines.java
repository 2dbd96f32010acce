/**
 * The bench's pipelines written with Kafka Streams, as one instance: what a user would run instead of a host. Not a library, and nothing
 * of it is tuned by hand but what is given as a property.
 */
package peers;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.BufferConfig;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.kstream.WindowedSerdes;

public final class Pipelines {
    private Pipelines() {}

    /** The text after {@code IP: } up to the next comma. */
    static String address(String line) {
        int from = line.indexOf("IP:") + 3;
        int to = line.indexOf(',', from);
        return (to < 0 ? line.substring(from) : line.substring(from, to)).trim();
    }

    /**
     * Arguments: pipeline, application, input, output, length and grace of windows in milliseconds, then properties as
     * {@code name=value}. A line {@code tasks} on standard input is answered with the number of running tasks.
     */
    public static void main(String[] args) throws Exception {
        String pipeline = args[0], input = args[2], output = args[3];
        Duration length = Duration.ofMillis(Long.parseLong(args[4])), grace = Duration.ofMillis(Long.parseLong(args[5]));
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        for (int i = 6; i < args.length; i++) {
            String[] parts = args[i].split("=", 2);
            properties.put(parts[0], parts[1]);
        }
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, String> lines = builder.stream(input, Consumed.with(Serdes.String(), Serdes.String()));
        KStream<String, String> kept = lines.filter((key, line) -> line.contains("IP:"));
        TimeWindows windows = TimeWindows.ofSizeAndGrace(length, grace);
        switch (pipeline) {
            case "pass" -> kept.map((key, line) -> KeyValue.pair(address(line), line))
                .to(output, Produced.with(Serdes.String(), Serdes.String()));
            case "keyed-update" -> count(asItIs(kept), windows, false, output);
            case "keyed-close" -> count(asItIs(kept), windows, true, output);
            case "hopping-close" -> count(asItIs(kept), windows.advanceBy(Duration.ofSeconds(1)), true, output);
            case "large-state" -> lines.groupByKey(Grouped.with("counts", Serdes.String(), Serdes.String()))
                .count(Materialized.as("counts")).toStream().to(output, Produced.with(Serdes.String(), Serdes.Long()));
            case "rekeyed-update" -> count(byAddress(kept), windows, false, output);
            case "rekeyed-close" -> count(byAddress(kept), windows, true, output);
            default -> throw new IllegalArgumentException("no pipeline " + pipeline);
        }
        KafkaStreams streams = new KafkaStreams(builder.build(properties), properties);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setStateListener((to, from) -> {
            if (to == KafkaStreams.State.ERROR) Runtime.getRuntime().halt(1);
        });
        streams.start();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String command = commands.readLine(); command != null; command = commands.readLine()) {
            if (!command.equals("tasks")) throw new IllegalArgumentException("no command " + command);
            System.out.println(streams.metadataForLocalThreads().stream().mapToInt(thread -> thread.activeTasks().size()).sum());
        }
        streams.close(Duration.ofSeconds(10));
        // Its threads would outlive a close that a broker did not answer.
        Runtime.getRuntime().halt(0);
    }

    static KGroupedStream<String, String> asItIs(KStream<String, String> lines) {
        return lines.groupByKey(Grouped.with("counts", Serdes.String(), Serdes.String()));
    }

    /** Nobody needs the lines behind here, so they are left out: less goes through the repartition topic. */
    static KGroupedStream<String, String> byAddress(KStream<String, String> lines) {
        return lines.map((key, line) -> KeyValue.pair(address(line), ""))
            .groupByKey(Grouped.with("counts", Serdes.String(), Serdes.String()));
    }

    static void count(KGroupedStream<String, String> groups, TimeWindows windows, boolean onClose, String output) {
        KTable<Windowed<String>, Long> counts = groups.windowedBy(windows).count(Materialized.as("counts"));
        if (onClose) {
            counts = counts.suppress(Suppressed.untilWindowCloses(BufferConfig.unbounded()).withName("closed"));
        }
        var keys = WindowedSerdes.timeWindowedSerdeFrom(String.class, windows.sizeMs);
        counts.toStream().to(output, Produced.with(keys, Serdes.Long()));
    }
}
