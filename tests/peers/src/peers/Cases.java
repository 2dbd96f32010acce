/**
 * Runs small topologies through Kafka Streams' TopologyTestDriver: a case a line on standard input, its results a line on standard
 * output, both JSON. What is right is not decided here.
 */
package peers;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.function.Function;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.TestInputTopic;
import org.apache.kafka.streams.TestOutputTopic;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KGroupedTable;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.KeyValueMapper;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.SessionWindowedKStream;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.test.TestRecord;

public final class Cases {
    private Cases() {}

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Path STATE = folder();

    private static Path folder() {
        try {
            Path folder = Files.createTempDirectory("cases");
            Runtime.getRuntime().addShutdownHook(new Thread(() -> remove(folder.toFile())));
            return folder;
        } catch (IOException wrong) {
            throw new UncheckedIOException(wrong);
        }
    }

    private static void remove(File file) {
        File[] inside = file.listFiles();
        for (File one : inside == null ? new File[0] : inside) {
            remove(one);
        }
        file.delete();
    }

    /** The argument is a folder of its own. */
    public static void main(String[] args) throws Exception {
        // Records that are dropped are no news here.
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "error");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        BufferedWriter out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            ArrayNode results = JSON.createArrayNode();
            run(JSON.readTree(line), args[0], results);
            out.write(JSON.writeValueAsString(results));
            out.newLine();
            out.flush();
        }
    }

    private static void run(JsonNode test, String folder, ArrayNode results) {
        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, "cases");
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "nowhere:1");
        // Versions have no store in memory; each process has a folder of its own, and each case leaves it empty.
        properties.put(StreamsConfig.STATE_DIR_CONFIG, STATE.toString());
        // Results at the record that closes a window, not once a second of the wall clock.
        properties.put("__emit.interval.ms.kstreams.windowed.aggregation__", 0L);
        // The same of a join's results without a partner.
        properties.put("__emit.interval.ms.kstreams.outer.join.spurious.results.fix__", 0L);
        // A join by foreign key keeps its subscriptions in a database, whatever stores are asked for.
        properties.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        // What goes through topics of a join by foreign key.
        properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        StreamsBuilder builder = new StreamsBuilder();
        outcome(builder, test).to("out", Produced.with(Serdes.String(), Serdes.String()));
        try (TopologyTestDriver driver = new TopologyTestDriver(builder.build(properties), properties, Instant.EPOCH)) {
            Map<String, TestInputTopic<String, String>> in = new HashMap<>();
            for (JsonNode topic : test.get("topics")) {
                in.put(topic.asText(), driver.createInputTopic(topic.asText(), new StringSerializer(), new StringSerializer()));
            }
            TestOutputTopic<String, String> out =
                driver.createOutputTopic("out", new StringDeserializer(), new StringDeserializer());
            int by = 0;
            for (JsonNode record : test.get("records")) {
                in.get(record.get(0).asText()).pipeInput(text(record.get(1)), text(record.get(2)), record.get(3).asLong());
                for (TestRecord<String, String> result : out.readRecordsToList()) {
                    ObjectNode node = results.addObject();
                    // Which record set it off.
                    node.put("by", by);
                    node.put("key", result.key());
                    node.put("value", result.value());
                    node.put("time", result.timestamp());
                }
                by++;
            }
        }
    }

    private static KStream<String, String> outcome(StreamsBuilder builder, JsonNode test) {
        Consumed<String, String> strings = Consumed.with(Serdes.String(), Serdes.String());
        if (test.has("join")) {
            return join(builder, test);
        }
        if (test.has("table")) {
            return tables(builder, test);
        }
        KStream<String, String> in = builder.stream("in", strings);
        if (test.has("deduplicate")) {
            return Duplicates.dropped(builder, in, test);
        }
        if (test.has("alarms")) {
            return Alarms.told(builder, in, test);
        }
        if (test.has("steps")) {
            KStream<String, String> all = test.get("merged").asBoolean() ? in.merge(builder.stream("other", strings)) : in;
            KStream<String, String> folded = aggregate(Chains.through(all, test.get("steps")), test.get("group"));
            // The counts by their values; the key shows a window, which nobody groups by.
            return test.get("again").isNull() ? folded : aggregate(folded.selectKey((k, v) -> v), test.get("again"));
        }
        return test.get("cogroup").asBoolean() ? Groups.cogroup(in, builder.stream("other", strings), test) : aggregate(in, test);
    }

    private static KStream<String, String> join(StreamsBuilder builder, JsonNode test) {
        String how = test.get("join").asText();
        Consumed<String, String> strings = Consumed.with(Serdes.String(), Serdes.String());
        if (how.startsWith("streams-")) {
            return joinStreams(builder.stream("left", strings), builder.stream("right", strings), how, test);
        }
        if (how.startsWith("global-")) {
            return joinGlobal(builder, how, test);
        }
        if (how.startsWith("stream-")) {
            KStream<String, String> left = builder.stream("left", strings);
            KTable<String, String> right = builder.table("right", strings, rows("versions", test));
            Joined<String, String, String> serdes = Joined.with(Serdes.String(), Serdes.String(), Serdes.String());
            if (test.path("grace").isNumber()) {
                serdes = serdes.withName("waits").withGracePeriod(ms(test, "grace"));
            }
            return how.equals("stream-left") ? left.leftJoin(right, Cases::pair, serdes) : left.join(right, Cases::pair, serdes);
        }
        KTable<String, String> left = builder.table("left", strings, rows("left-versions", test));
        KTable<String, String> right = builder.table("right", strings, rows("right-versions", test));
        Function<String, String> foreign = Cases::group;
        KTable<String, String> joined = switch (how) {
            case "foreign-inner" -> left.join(right, foreign, Cases::pair);
            case "foreign-left" -> left.leftJoin(right, foreign, Cases::pair);
            case "tables-inner" -> left.join(right, Cases::pair);
            case "tables-left" -> left.leftJoin(right, Cases::pair);
            case "tables-outer" -> left.outerJoin(right, Cases::pair);
            default -> throw new IllegalArgumentException("no join " + how);
        };
        return joined.toStream();
    }

    private static KStream<String, String> joinGlobal(StreamsBuilder builder, String how, JsonNode test) {
        Consumed<String, String> strings = Consumed.with(Serdes.String(), Serdes.String());
        KStream<String, String> left = builder.stream("left", strings);
        GlobalKTable<String, String> rules = builder.globalTable("right", strings,
            Materialized.<String, String>as(Stores.inMemoryKeyValueStore("rules"))
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.String()).withCachingDisabled().withLoggingDisabled());
        // The key is asked for also where there is no value.
        KeyValueMapper<String, String, String> by = (key, value) -> value == null ? null : group(value);
        KStream<String, String> joined =
            how.equals("global-left") ? left.leftJoin(rules, by, Cases::pair) : left.join(rules, by, Cases::pair);
        return test.get("twice").asBoolean() ? joined.merge(left.join(rules, by, Cases::pair)) : joined;
    }

    private static KStream<String, String> joinStreams(
        KStream<String, String> left, KStream<String, String> right, String how, JsonNode test) {
        // The grace is that of the first difference; both are set anew behind it.
        JoinWindows windows = JoinWindows.ofTimeDifferenceAndGrace(ms(test, "before"), ms(test, "grace"))
            .before(ms(test, "before")).after(ms(test, "after"));
        StreamJoined<String, String, String> joined = StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String())
            .withDslStoreSuppliers(new BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers()).withLoggingDisabled();
        return switch (how) {
            case "streams-inner" -> left.join(right, Cases::pair, windows, joined);
            case "streams-left" -> left.leftJoin(right, Cases::pair, windows, joined);
            case "streams-outer" -> left.outerJoin(right, Cases::pair, windows, joined);
            default -> throw new IllegalArgumentException("no join " + how);
        };
    }

    /** A table in steps: perhaps a filter of the stream, filters, and what becomes of the rows. */
    private static KStream<String, String> tables(StreamsBuilder builder, JsonNode test) {
        Consumed<String, String> strings = Consumed.with(Serdes.String(), Serdes.String());
        // With a name, so that a filter knows what a row was, and is silent on one that it had not let through.
        Materialized<String, String, KeyValueStore<Bytes, byte[]>> rows =
            Materialized.<String, String>as(Stores.inMemoryKeyValueStore("rows"))
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.String()).withCachingDisabled().withLoggingDisabled();
        JsonNode front = test.get("front");
        KTable<String, String> table = front.isNull()
            ? builder.table("in", strings, rows)
            : builder.stream("in", strings).filter((k, v) -> v != null && field(v, "n").asLong() >= front.asLong()).toTable(rows);
        for (JsonNode filter : test.get("filters")) {
            long least = filter.get("least").asLong();
            table = filter.get("not").asBoolean()
                ? table.filterNot((k, v) -> field(v, "n").asLong() >= least)
                : table.filter((k, v) -> field(v, "n").asLong() >= least);
        }
        String end = test.get("table").asText();
        if (end.equals("rows")) {
            return table.toStream();
        }
        if (end.equals("mapped")) {
            return table.mapValues(value -> "v1:" + value).toStream();
        }
        boolean byKey = test.get("by").asText().equals("key");
        KGroupedTable<String, String> groups = table.groupBy(
            (key, value) -> KeyValue.pair(byKey ? key : text(field(value, "g")), value),
            Grouped.with(Serdes.String(), Serdes.String()));
        if (end.equals("reduce")) {
            return groups.reduce(Cases::joined, Cases::without, plain(Serdes.String())).toStream();
        }
        KTable<String, Long> folded = end.equals("count")
            ? groups.count(plain(Serdes.Long()))
            : groups.aggregate(() -> 0L, (k, v, sum) -> sum + field(v, "n").asLong(), (k, v, sum) -> sum - field(v, "n").asLong(), plain(Serdes.Long()));
        KTable<String, String> shown = folded.mapValues(number -> number.toString());
        if (test.get("with").isNull()) {
            return shown.toStream();
        }
        KTable<String, String> other = builder.table("other", strings, plain(Serdes.String()));
        KTable<String, String> joined = switch (test.get("with").asText()) {
            case "inner" -> shown.join(other, Cases::pair);
            case "left" -> shown.leftJoin(other, Cases::pair);
            case "outer" -> shown.outerJoin(other, Cases::pair);
            default -> throw new IllegalArgumentException("no join " + test.get("with"));
        };
        return joined.toStream();
    }

    static JsonNode field(String value, String name) {
        try {
            return JSON.readTree(value).get(name);
        } catch (com.fasterxml.jackson.core.JsonProcessingException wrong) {
            throw new IllegalArgumentException(value, wrong);
        }
    }

    private static String group(String value) {
        return text(field(value, "g"));
    }

    private static String pair(String left, String right) {
        return (left == null ? "-" : left) + "," + (right == null ? "-" : right);
    }

    static String text(JsonNode node) {
        return node.isNull() ? null : node.asText();
    }

    static Duration ms(JsonNode test, String name) {
        return Duration.ofMillis(test.get(name).asLong());
    }

    static <K> KStream<String, String> shown(KTable<Windowed<K>, ?> table) {
        return table.toStream()
            .map((key, value) -> org.apache.kafka.streams.KeyValue.pair(
                key.key() + "@" + key.window().start() + "/" + key.window().end(), value == null ? null : value.toString()));
    }

    private static KStream<String, String> aggregate(KStream<String, String> stream, JsonNode test) {
        KGroupedStream<String, String> groups = stream.groupByKey(Grouped.with(Serdes.String(), Serdes.String()));
        String fold = test.get("fold").asText();
        EmitStrategy emit = test.get("on-close").asBoolean() ? EmitStrategy.onWindowClose() : EmitStrategy.onWindowUpdate();
        switch (test.get("window").asText()) {
            case "none": {
                KTable<String, ?> table = switch (fold) {
                    case "count" -> groups.count(plain(Serdes.Long()));
                    case "reduce" -> groups.reduce(Cases::joined, plain(Serdes.String()));
                    case "scan" -> groups.aggregate(() -> null, Groups::added, plain(Serdes.String()));
                    default -> groups.aggregate(() -> null, (k, v, all) -> joined(all, v), plain(Serdes.String()));
                };
                return table.toStream().mapValues(value -> value == null ? null : value.toString());
            }
            case "session": {
                SessionWindowedKStream<String, String> sessions = groups
                    .windowedBy(SessionWindows.ofInactivityGapAndGrace(ms(test, "size"), ms(test, "grace")))
                    .emitStrategy(emit);
                return shown(switch (fold) {
                    case "count" -> sessions.count(session(Serdes.Long()));
                    case "reduce" -> sessions.reduce(Cases::joined, session(Serdes.String()));
                    default -> sessions.aggregate(() -> null, (k, v, all) -> joined(all, v), (k, a, b) -> joined(a, b), session(Serdes.String()));
                });
            }
            default: {
                if (test.get("window").asText().contains(" ")) {
                    return Groups.calendar(groups, test);
                }
                TimeWindowedKStream<String, String> windows = switch (test.get("window").asText()) {
                    case "hopping" -> groups.windowedBy(
                        TimeWindows.ofSizeAndGrace(ms(test, "size"), ms(test, "grace")).advanceBy(ms(test, "advance")));
                    case "sliding" -> groups.windowedBy(
                        SlidingWindows.ofTimeDifferenceAndGrace(ms(test, "size"), ms(test, "grace")));
                    default -> throw new IllegalArgumentException("no window " + test.get("window"));
                };
                windows = windows.emitStrategy(emit);
                return shown(switch (fold) {
                    case "count" -> windows.count(window(Serdes.Long()));
                    case "reduce" -> windows.reduce(Cases::joined, window(Serdes.String()));
                    case "scan" -> windows.aggregate(() -> null, Groups::added, window(Serdes.String()));
                    default -> windows.aggregate(() -> null, (k, v, all) -> joined(all, v), window(Serdes.String()));
                });
            }
        }
    }

    /** The text without the first of a value that came in. */
    private static String without(String all, String value) {
        String around = "," + all + ",";
        int at = around.indexOf("," + value + ",");
        if (at < 0) {
            throw new IllegalStateException(value + " never came into " + all);
        }
        String left = around.substring(0, at) + around.substring(at + value.length() + 1);
        return left.equals(",") ? null : left.substring(1, left.length() - 1);
    }

    static String joined(String all, String value) {
        return all == null ? value : value == null ? all : all + "," + value;
    }

    /** Longer than any case: what a store forgets early is not what is looked at here. */
    static final Duration RETENTION = Duration.ofDays(400_000);

    static <V> Materialized<String, V, KeyValueStore<Bytes, byte[]>> plain(Serde<V> values) {
        return Materialized.<String, V, KeyValueStore<Bytes, byte[]>>as(new BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers())
            .withKeySerde(Serdes.String()).withValueSerde(values).withCachingDisabled().withLoggingDisabled();
    }

    /** Rows of a table, with their versions where the case says for how long. */
    private static Materialized<String, String, KeyValueStore<Bytes, byte[]>> rows(String name, JsonNode test) {
        if (!test.path("history").isNumber()) {
            return plain(Serdes.String());
        }
        return Materialized.<String, String>as(Stores.persistentVersionedKeyValueStore(name, ms(test, "history")))
            .withKeySerde(Serdes.String()).withValueSerde(Serdes.String()).withLoggingDisabled();
    }

    static <V> Materialized<String, V, WindowStore<Bytes, byte[]>> window(Serde<V> values) {
        return Materialized.<String, V, WindowStore<Bytes, byte[]>>as(new BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers())
            .withKeySerde(Serdes.String()).withValueSerde(values).withCachingDisabled().withLoggingDisabled()
            .withRetention(RETENTION);
    }

    static <V> Materialized<String, V, SessionStore<Bytes, byte[]>> session(Serde<V> values) {
        return Materialized.<String, V, SessionStore<Bytes, byte[]>>as(new BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers())
            .withKeySerde(Serdes.String()).withValueSerde(values).withCachingDisabled().withLoggingDisabled()
            .withRetention(RETENTION);
    }
}
