/**
 * Alarms about keys that fall silent, as one writes them in Kafka Streams, which has no timers of a key: a processor with a store of what each
 * key said last and a store of timers, that is looked through at each record; for {@link Cases}.
 */
package peers;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

final class Alarms extends ContextualProcessor<String, String, String, String> {
    private static final String LAST = "last";
    private static final String TIMERS = "timers";

    private final long silence;
    private long now = Long.MIN_VALUE;

    private Alarms(JsonNode test) {
        silence = test.get("alarms").asLong();
    }

    static KStream<String, String> told(StreamsBuilder builder, KStream<String, String> in, JsonNode test) {
        for (String name : List.of(LAST, TIMERS)) {
            builder.addStateStore(Stores.keyValueStoreBuilder(
                Stores.inMemoryKeyValueStore(name), Serdes.String(), Serdes.String()).withLoggingDisabled());
        }
        return in.process(() -> new Alarms(test), LAST, TIMERS);
    }

    /** What a key said last: time, whether there was an alarm about it, value. */
    private record Said(long time, boolean alarmed, String value) {
        static Said read(String held) {
            String[] parts = held.split(" ", 3);
            return new Said(Long.parseLong(parts[0]), Boolean.parseBoolean(parts[1]), parts[2]);
        }

        String held() {
            return time + " " + alarmed + " " + value;
        }
    }

    @Override
    public void process(Record<String, String> record) {
        if (record.key() == null) {
            return;
        }
        now = Math.max(now, record.timestamp());
        fire();
        KeyValueStore<String, String> last = context().getStateStore(LAST);
        KeyValueStore<String, String> timers = context().getStateStore(TIMERS);
        String held = last.get(record.key());
        Said before = held == null ? null : Said.read(held);
        if (before != null && before.alarmed() && record.timestamp() > before.time()) {
            context().forward(record.withValue(Long.toString(record.timestamp() - before.time())));
        }
        if (before == null || record.timestamp() >= before.time()) {
            if (before != null) {
                timers.delete(timer(before.time() + silence, record.key()));
            }
            String value = record.value() == null ? "" : record.value();
            last.put(record.key(), new Said(record.timestamp(), false, value).held());
            timers.put(timer(record.timestamp() + silence, record.key()), "");
        }
        fire();
    }

    /** Times have as many digits as the largest, so that timers are in order of them. */
    private static String timer(long due, String key) {
        return String.format("%019d %s", due, key);
    }

    private void fire() {
        KeyValueStore<String, String> last = context().getStateStore(LAST);
        KeyValueStore<String, String> timers = context().getStateStore(TIMERS);
        List<String> due = new ArrayList<>();
        try (KeyValueIterator<String, String> all = timers.all()) {
            while (all.hasNext()) {
                String timer = all.next().key;
                if (Long.parseLong(timer.substring(0, 19)) <= now) {
                    due.add(timer);
                }
            }
        }
        for (String timer : due) {
            timers.delete(timer);
            String key = timer.substring(20);
            Said said = Said.read(last.get(key));
            last.put(key, new Said(said.time(), true, said.value()).held());
            context().forward(new Record<>(key, said.value(), Long.parseLong(timer.substring(0, 19))));
        }
    }
}
