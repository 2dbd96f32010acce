/** Steps without state one behind the other, for {@link Cases}. What a function of ours refuses, a null value, is dropped here. */
package peers;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Branched;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Repartitioned;

final class Chains {
    private Chains() {}

    static KStream<String, String> through(KStream<String, String> stream, JsonNode steps) {
        int number = 0;
        for (JsonNode step : steps) {
            stream = one(stream, step, number++);
        }
        return stream;
    }

    private static KStream<String, String> one(KStream<String, String> stream, JsonNode step, int number) {
        KStream<String, String> there = stream.filter((k, v) -> v != null);
        return switch (step.get("step").asText()) {
            case "filter" -> there.filter((k, v) -> n(v) >= step.get("least").asLong());
            case "filter-not" -> there.filterNot((k, v) -> n(v) >= step.get("least").asLong());
            case "select-key" -> there.selectKey((k, v) -> Cases.text(Cases.field(v, "g")));
            case "map-key" -> there.map((k, v) -> KeyValue.pair(Cases.text(Cases.field(v, "g")), v));
            case "flat-map" -> there.flatMap((k, v) -> words(v).stream().map(word -> KeyValue.pair(word, v)).toList());
            case "map" -> stream.map((k, v) -> KeyValue.pair(k, stamped(v)));
            case "map-values" -> stream.mapValues(Chains::stamped);
            case "peek" -> stream.peek((k, v) -> { });
            case "repartition" -> stream.repartition(
                Repartitioned.<String, String>as("step-" + number).withKeySerde(Serdes.String()).withValueSerde(Serdes.String()));
            case "branch" -> branch(stream, step.get("kept"), "ways-" + number + "-");
            default -> throw new IllegalArgumentException("no step " + step);
        };
    }

    private static KStream<String, String> branch(KStream<String, String> stream, JsonNode kept, String name) {
        Map<String, KStream<String, String>> ways = stream.split(Named.as(name))
            .branch((k, v) -> v != null && v.contains("Action: Login"), Branched.as("0"))
            .branch((k, v) -> v != null && v.contains("Action: Logout"), Branched.as("1"))
            .defaultBranch(Branched.as("2"));
        KStream<String, String> merged = null;
        for (JsonNode way : kept) {
            KStream<String, String> next = ways.get(name + way.asInt());
            merged = merged == null ? next : merged.merge(next);
        }
        return merged;
    }

    private static long n(String value) {
        return Cases.field(value, "n").asLong();
    }

    private static List<String> words(String value) {
        return Arrays.asList(value.trim().split("\\s+"));
    }

    private static String stamped(String value) {
        return value == null ? null : "v1:" + value;
    }
}
