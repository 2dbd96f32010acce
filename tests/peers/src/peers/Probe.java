/**
 * Writes lines at a steady rate into a topic and watches another, read committed: how long each line takes until its result can be seen,
 * and how long each partition stays silent. It knows nothing of what is in between.
 */
package peers;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import org.HdrHistogram.Histogram;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class Probe {
    /** Latencies are kept in microseconds, up to ten minutes, to three digits. */
    static final long LATENCY_MICROS_MAX = 600_000_000L;
    /** What stands before the time at which a line was due, in nanoseconds of this process. */
    static final byte[] DUE = ", Due: ".getBytes(StandardCharsets.UTF_8);
    static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm:ss").withZone(ZoneOffset.UTC);

    final String input, output;
    final int partitions, perSecond, addresses;
    final boolean timed;
    final Properties properties = new Properties();
    /** Guards what follows. */
    final Object lock = new Object();
    final Histogram latencies = new Histogram(LATENCY_MICROS_MAX, 3);
    final long[] last, longest;
    long results, behind;

    /**
     * Arguments: input, output, partitions, lines per second, addresses, then {@code latency} (results carry the line) or {@code gaps}
     * (they do not), then properties of the clients as {@code name=value}. Commands on standard input: {@code reset} begins to measure anew,
     * {@code report} prints one line of JSON.
     */
    public static void main(String[] args) throws Exception {
        Probe probe = new Probe(args);
        probe.start("watch", probe::watch);
        probe.start("write", probe::write);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String command = commands.readLine(); command != null; command = commands.readLine()) {
            switch (command) {
                case "reset" -> probe.reset();
                case "report" -> System.out.println(probe.report());
                default -> throw new IllegalArgumentException("no command " + command);
            }
        }
        Runtime.getRuntime().halt(0);
    }

    Probe(String[] args) {
        input = args[0];
        output = args[1];
        partitions = Integer.parseInt(args[2]);
        perSecond = Integer.parseInt(args[3]);
        addresses = Integer.parseInt(args[4]);
        timed = args[5].equals("latency");
        for (int i = 6; i < args.length; i++) {
            String[] parts = args[i].split("=", 2);
            properties.put(parts[0], parts[1]);
        }
        last = new long[partitions];
        longest = new long[partitions];
        reset();
    }

    void start(String name, Runnable work) {
        Thread thread = new Thread(work, name);
        thread.setUncaughtExceptionHandler((t, error) -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
        });
        thread.start();
    }

    void write() {
        var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
        long begin = System.nanoTime(), lastSecond = -1;
        String time = "";
        for (long i = 0; ; i++) {
            long due = begin + i * 1_000_000_000L / perSecond;
            for (long now = System.nanoTime(); now < due; now = System.nanoTime()) LockSupport.parkNanos(Math.max(due - now, 500_000));
            long wall = System.currentTimeMillis();
            if (wall / 1_000 != lastSecond) {
                lastSecond = wall / 1_000;
                time = TIME.format(Instant.ofEpochSecond(lastSecond));
            }
            // Neighbours differ, all come equally often.
            long number = i * 7_919 % addresses;
            String address = "10.0." + number / 250 + "." + (number % 250 + 1);
            String line = "[" + time + "] IP: " + address + ", User: Alice, Action: Login, Due: " + due;
            byte[] key = address.getBytes(StandardCharsets.UTF_8), value = line.getBytes(StandardCharsets.UTF_8);
            producer.send(new ProducerRecord<>(input, null, wall, key, value));
            if (i % 256 == 0) {
                synchronized (lock) {
                    behind = Math.max(behind, System.nanoTime() - due);
                }
            }
        }
    }

    void watch() {
        var settings = new Properties();
        settings.putAll(properties);
        settings.put("isolation.level", "read_committed");
        settings.put("auto.offset.reset", "earliest");
        settings.put("fetch.max.wait.ms", "5");
        settings.put("max.poll.records", "100000");
        var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        List<TopicPartition> all = new ArrayList<>();
        for (int p = 0; p < partitions; p++) all.add(new TopicPartition(output, p));
        consumer.assign(all);
        while (true) {
            var records = consumer.poll(Duration.ofMillis(100));
            long now = System.nanoTime();
            synchronized (lock) {
                for (TopicPartition partition : records.partitions()) {
                    silence(partition.partition(), now);
                    for (ConsumerRecord<byte[], byte[]> record : records.records(partition)) {
                        results++;
                        if (timed) latencies.recordValue(Math.min((now - due(record.value())) / 1_000, LATENCY_MICROS_MAX));
                    }
                }
            }
        }
    }

    void silence(int partition, long now) {
        longest[partition] = Math.max(longest[partition], now - last[partition]);
        last[partition] = now;
    }

    static long due(byte[] line) {
        int at = line.length;
        while (at > 0 && line[at - 1] >= '0' && line[at - 1] <= '9') at--;
        if (at < DUE.length || !ByteBuffer.wrap(line, at - DUE.length, DUE.length).equals(ByteBuffer.wrap(DUE))) {
            throw new IllegalStateException("not a line of this program: " + new String(line, StandardCharsets.UTF_8));
        }
        return Long.parseLong(new String(line, at, line.length - at, StandardCharsets.UTF_8));
    }

    void reset() {
        synchronized (lock) {
            latencies.reset();
            results = 0;
            behind = 0;
            long now = System.nanoTime();
            for (int p = 0; p < partitions; p++) {
                last[p] = now;
                longest[p] = 0;
            }
        }
    }

    String report() {
        synchronized (lock) {
            List<Double> silences = new ArrayList<>();
            long now = System.nanoTime();
            for (int p = 0; p < partitions; p++) silences.add(Math.max(longest[p], now - last[p]) / 1e9);
            String all = silences.stream().map(String::valueOf).collect(Collectors.joining(","));
            return "{\"results\":" + results + ",\"p50_ms\":" + latencies.getValueAtPercentile(50) / 1e3 + ",\"p99_ms\":"
                + latencies.getValueAtPercentile(99) / 1e3 + ",\"max_ms\":" + latencies.getMaxValue() / 1e3 + ",\"behind_ms\":" + behind / 1e6
                + ",\"silent_seconds\":[" + all + "]}";
        }
    }
}
