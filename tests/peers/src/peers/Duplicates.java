/**
 * Deduplication as one writes it in Kafka Streams, which has no operator for it: a processor with a window store of what has passed, for
 * {@link Cases}.
 */
package peers;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.streams.state.WindowStoreIterator;

final class Duplicates extends ContextualProcessor<String, String, String, String> {
    private static final String PASSED = "passed";

    private final boolean byField;
    private final long within;
    private final long grace;
    private long now = Long.MIN_VALUE;

    private Duplicates(JsonNode test) {
        byField = test.get("deduplicate").asText().equals("field");
        within = test.get("within").asLong();
        grace = test.get("grace").asLong();
    }

    static KStream<String, String> dropped(StreamsBuilder builder, KStream<String, String> in, JsonNode test) {
        builder.addStateStore(Stores.windowStoreBuilder(
            Stores.inMemoryWindowStore(PASSED, Cases.RETENTION, Duration.ofMillis(1), false), Serdes.String(), Serdes.String())
            .withLoggingDisabled());
        return in.process(() -> new Duplicates(test), PASSED);
    }

    @Override
    public void process(Record<String, String> record) {
        if (byField && record.value() == null) {
            return;
        }
        now = Math.max(now, record.timestamp());
        String id = byField ? Cases.text(Cases.field(record.value(), "g")) : "";
        // What has no id passes, late or not: nothing is asked about it.
        if (record.key() != null && id != null) {
            if (record.timestamp() < now - grace) {
                return;
            }
            WindowStore<String, String> passed = context().getStateStore(PASSED);
            // No key has a line break, so that key and id cannot be taken for others.
            String who = record.key() + "\n" + id;
            long from = Math.max(0, record.timestamp() - within);
            try (WindowStoreIterator<String> near = passed.fetch(who, from, record.timestamp() + within)) {
                if (near.hasNext()) {
                    return;
                }
            }
            passed.put(who, "", record.timestamp());
        }
        context().forward(record);
    }
}
