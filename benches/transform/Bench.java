import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;

/**
 * Sends orders through Kafka Connect's own transforms, again and again: a line of standard input is {"orders": [texts], "schema": text or null, "settings": {...}}, and is
 * answered with the rows a second that the chain of these settings took once it was warm.
 */
public final class Bench {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final long WARM_NANOS = 2_000_000_000L;
    private static final long MEASURED_NANOS = 1_000_000_000L;

    /** Where results go, so that none of them can be left out. */
    private static int seen;

    private Bench() {}

    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonNode given = JSON.readTree(line);
            List<SinkRecord> orders = orders(given);
            Map<String, String> settings = new HashMap<>();
            given.get("settings").properties().forEach(setting -> settings.put(setting.getKey(), setting.getValue().asText()));
            List<Driver.Stage<SinkRecord>> stages = Driver.stages(settings);
            rate(stages, orders, WARM_NANOS);
            System.out.println(rate(stages, orders, MEASURED_NANOS));
        }
    }

    private static List<SinkRecord> orders(JsonNode given) throws IOException {
        var converter = new JsonConverter();
        Map<String, String> settings = new HashMap<>(Map.of("converter.type", "value", "schemas.enable", "false"));
        if (!given.get("schema").isNull()) {
            settings.putAll(Map.of("schemas.enable", "true", "schema.content", given.get("schema").asText()));
        }
        converter.configure(settings, false);
        List<SinkRecord> orders = new ArrayList<>();
        for (JsonNode text : given.get("orders")) {
            byte[] payload = text.isNull() ? null : text.asText().getBytes(StandardCharsets.UTF_8);
            SchemaAndValue read = payload == null ? SchemaAndValue.NULL : converter.toConnectData("orders", payload);
            int row = orders.size();
            orders.add(new SinkRecord("orders", 0, Schema.OPTIONAL_STRING_SCHEMA, "c-" + row, read.schema(), read.value(), row, 1_748_736_000_000L + row, TimestampType.CREATE_TIME));
        }
        return orders;
    }

    private static long rate(List<Driver.Stage<SinkRecord>> stages, List<SinkRecord> orders, long nanos) {
        long start = System.nanoTime();
        long rows = 0;
        while (System.nanoTime() - start < nanos) {
            for (SinkRecord order : orders) {
                SinkRecord left = order;
                for (var stage : stages) {
                    left = stage.apply(left);
                    if (left == null) {
                        break;
                    }
                }
                seen += left == null ? 1 : left.topic().length();
            }
            rows += orders.size();
        }
        return rows * 1_000_000_000L / (System.nanoTime() - start);
    }
}
