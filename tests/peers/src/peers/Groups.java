/**
 * Cogroups, and groups in windows of a calendar, for {@link Cases}. Neither can say that it emits when its window closes, or does so by the
 * size of the window, so both are suppressed until then.
 */
package peers;

import com.fasterxml.jackson.databind.JsonNode;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Aggregator;
import org.apache.kafka.streams.kstream.CogroupedKStream;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.SlidingWindows;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;

final class Groups {
    private Groups() {}

    static KStream<String, String> cogroup(KStream<String, String> left, KStream<String, String> right, JsonNode test) {
        Grouped<String, String> strings = Grouped.with(Serdes.String(), Serdes.String());
        boolean mixed = test.get("fold").asText().equals("mixed");
        Aggregator<String, String, String> adds = mixed ? Groups::added : (k, v, all) -> Cases.joined(all, v);
        Aggregator<String, String, String> also = mixed ? Groups::atLeast : (k, v, all) -> Cases.joined(all, v);
        CogroupedKStream<String, String> both =
            left.groupByKey(strings).<String>cogroup(adds).cogroup(right.groupByKey(strings), also);
        return switch (test.get("window").asText()) {
            case "none" -> both.aggregate(() -> null, Cases.plain(Serdes.String())).toStream();
            case "session" -> Cases.shown(both
                .windowedBy(SessionWindows.ofInactivityGapAndGrace(Cases.ms(test, "size"), Cases.ms(test, "grace")))
                .aggregate(() -> null, (k, a, b) -> mixed ? sum(a, b) : Cases.joined(a, b), Cases.session(Serdes.String())));
            case "sliding" -> Cases.shown(both
                .windowedBy(SlidingWindows.ofTimeDifferenceAndGrace(Cases.ms(test, "size"), Cases.ms(test, "grace")))
                .aggregate(() -> null, Cases.window(Serdes.String())));
            default -> Cases.shown(closed(both
                .windowedBy(TimeWindows.ofSizeAndGrace(Cases.ms(test, "size"), Cases.ms(test, "grace"))
                    .advanceBy(Cases.ms(test, "advance")))
                .aggregate(() -> null, Cases.window(Serdes.String())), test));
        };
    }

    static KStream<String, String> calendar(KGroupedStream<String, String> groups, JsonNode test) {
        Calendars calendar = new Calendars(test.get("window").asText(), test.get("grace").asLong());
        TimeWindowedKStream<String, String> windows = groups.windowedBy(calendar);
        KTable<Windowed<String>, String> folded = switch (test.get("fold").asText()) {
            case "count" -> windows.aggregate(
                () -> "0", (k, v, all) -> Long.toString(Long.parseLong(all) + 1), Cases.window(Serdes.String()));
            case "reduce" -> windows.reduce(Cases::joined, Cases.window(Serdes.String()));
            default -> windows.aggregate(() -> null, Groups::added, Cases.window(Serdes.String()));
        };
        // A suppressed key has lost its end: it is read again by the size of the windows.
        return closed(folded, test).toStream().map((key, value) -> KeyValue.pair(
            key.key() + "@" + key.window().start() + "/" + calendar.of(key.window().start()).end(), value));
    }

    private static KTable<Windowed<String>, String> closed(KTable<Windowed<String>, String> table, JsonNode test) {
        return test.get("on-close").asBoolean()
            ? table.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded().withLoggingDisabled()))
            : table;
    }

    /** The sum of the field n; a null value adds nothing. */
    static String added(String key, String value, String all) {
        return value == null ? all : sum(all, Long.toString(number(value)));
    }

    private static String atLeast(String key, String value, String all) {
        return value == null ? all : all == null ? Long.toString(number(value)) : Long.toString(Math.max(Long.parseLong(all), number(value)));
    }

    private static String sum(String a, String b) {
        return a == null ? b : b == null ? a : Long.toString(Long.parseLong(a) + Long.parseLong(b));
    }

    private static long number(String value) {
        return Cases.field(value, "n").asLong();
    }
}
