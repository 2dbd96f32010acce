/** Windows of a calendar, by java.time: for {@link Groups}, since Kafka Streams has none of its own. */
package peers;

import java.time.DayOfWeek;
import java.time.Instant;
import java.time.LocalDate;
import java.time.ZoneId;
import java.time.temporal.TemporalAdjusters;
import java.util.Map;
import org.apache.kafka.streams.kstream.Windows;
import org.apache.kafka.streams.kstream.internals.TimeWindow;

final class Calendars extends Windows<TimeWindow> {
    private final String unit;
    private final ZoneId zone;
    private final long grace;

    /** As in "month Europe/Berlin". */
    Calendars(String window, long grace) {
        this.unit = window.substring(0, window.indexOf(' '));
        this.zone = ZoneId.of(window.substring(window.indexOf(' ') + 1));
        this.grace = grace;
    }

    TimeWindow of(long time) {
        LocalDate today = Instant.ofEpochMilli(time).atZone(zone).toLocalDate();
        LocalDate from = switch (unit) {
            case "day" -> today;
            case "week" -> today.with(TemporalAdjusters.previousOrSame(DayOfWeek.MONDAY));
            case "week-from-sunday" -> today.with(TemporalAdjusters.previousOrSame(DayOfWeek.SUNDAY));
            default -> today.withDayOfMonth(1);
        };
        LocalDate to = switch (unit) {
            case "day" -> from.plusDays(1);
            case "month" -> from.plusMonths(1);
            default -> from.plusDays(7);
        };
        return new TimeWindow(start(from), start(to));
    }

    private long start(LocalDate day) {
        return day.atStartOfDay(zone).toInstant().toEpochMilli();
    }

    @Override
    public Map<Long, TimeWindow> windowsFor(long time) {
        TimeWindow window = of(time);
        return Map.of(window.start(), window);
    }

    /** The longest there is. */
    @Override
    public long size() {
        return 32L * 24 * 3_600_000;
    }

    @Override
    public long gracePeriodMs() {
        return grace;
    }
}
