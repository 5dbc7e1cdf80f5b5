import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaAndValue;
import org.apache.kafka.connect.header.ConnectHeaders;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.HeaderConverter;
import org.apache.kafka.connect.transforms.Transformation;
import org.apache.kafka.connect.transforms.predicates.Predicate;

/**
 * Plays cases through Kafka Connect's own transforms, predicates and converters: a line of standard input is a case, a line of standard output what came of it.
 * {"refused"} is a configuration, {"outcomes"} has one entry for each record, payload or value; {"unplayable"} says that the case itself is wrong.
 */
public final class Driver {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final JsonConverter PLAIN = new JsonConverter();

    private Driver() {}

    public static void main(String[] arguments) throws IOException {
        PLAIN.configure(Map.of("schemas.enable", "false", "converter.type", "value"), false);
        var cases = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8), 1 << 16);
        var answers = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = cases.readLine(); line != null; line = cases.readLine()) {
            answers.println(JSON.writeValueAsString(play(JSON.readTree(line))));
        }
    }

    private static ObjectNode play(JsonNode given) {
        ObjectNode answer = JSON.createObjectNode();
        try {
            switch (given.get("kind").asText()) {
                case "chain" -> chain(given, answer);
                case "to_connect" -> toConnect(given, answer);
                case "from_connect" -> fromConnect(given, answer);
                case "to_header" -> toHeader(given, answer);
                case "from_header" -> fromHeader(given, answer);
                default -> throw new IllegalArgumentException("no such kind");
            }
        } catch (Refused refused) {
            answer.set("refused", described(refused.getCause()));
        } catch (Exception wrong) {
            answer.removeAll();
            answer.put("unplayable", wrong.toString());
        }
        return answer;
    }

    /** A configuration that is not taken. */
    static final class Refused extends Exception {
        private static final long serialVersionUID = 1;

        Refused(Throwable cause) {
            super(cause);
        }
    }

    private static ObjectNode described(Throwable thrown) {
        return JSON.createObjectNode().put("class", thrown.getClass().getName()).put("message", thrown.getMessage());
    }

    private static ObjectNode failed(Throwable thrown) {
        ObjectNode outcome = JSON.createObjectNode();
        outcome.set("error", described(thrown));
        return outcome;
    }

    private static Map<String, String> texts(JsonNode settings) {
        Map<String, String> texts = new HashMap<>();
        settings.properties().forEach(setting -> texts.put(setting.getKey(), setting.getValue().asText()));
        return texts;
    }

    private static Map<String, String> below(String prefix, Map<String, String> settings) {
        Map<String, String> own = new HashMap<>();
        settings.forEach((key, value) -> {
            if (key.startsWith(prefix)) {
                own.put(key.substring(prefix.length()), value);
            }
        });
        return own;
    }

    private static <T> T made(String className, Class<T> type) throws ReflectiveOperationException {
        return type.cast(Class.forName(className).getDeclaredConstructor().newInstance());
    }

    /** A transform and which records it is for, as the worker's TransformationStage. */
    record Stage<R extends ConnectRecord<R>>(String type, Transformation<R> transformation, Predicate<R> predicate, boolean negate) {
        R apply(R given) {
            return predicate == null || negate ^ predicate.test(given) ? transformation.apply(given) : given;
        }
    }

    @SuppressWarnings("unchecked")
    static <R extends ConnectRecord<R>> List<Stage<R>> stages(Map<String, String> settings) throws Refused, ReflectiveOperationException {
        List<Stage<R>> stages = new ArrayList<>();
        for (String alias : settings.get("transforms").split(",")) {
            Map<String, String> own = below("transforms." + alias + ".", settings);
            Transformation<R> transformation = made(own.get("type"), Transformation.class);
            Predicate<R> predicate = null;
            try {
                transformation.configure(own);
                if (own.containsKey("predicate")) {
                    Map<String, String> condition = below("predicates." + own.get("predicate") + ".", settings);
                    predicate = made(condition.get("type"), Predicate.class);
                    predicate.configure(condition);
                }
            } catch (RuntimeException refused) {
                throw new Refused(refused);
            }
            stages.add(new Stage<>(own.get("type"), transformation, predicate, Boolean.parseBoolean(own.get("negate"))));
        }
        return stages;
    }

    private static void chain(JsonNode given, ObjectNode answer) throws Refused, ReflectiveOperationException {
        Map<String, String> settings = texts(given.get("props"));
        if (given.get("source").asBoolean()) {
            List<Stage<SourceRecord>> stages = stages(settings);
            ArrayNode outcomes = answer.putArray("outcomes");
            given.get("records").forEach(form -> outcomes.add(applied(stages, source(form))));
        } else {
            List<Stage<SinkRecord>> stages = stages(settings);
            ArrayNode outcomes = answer.putArray("outcomes");
            given.get("records").forEach(form -> outcomes.add(applied(stages, sink(form))));
        }
    }

    private static <R extends ConnectRecord<R>> ObjectNode applied(List<Stage<R>> stages, R given) {
        R left = given;
        for (Stage<R> stage : stages) {
            try {
                left = stage.apply(left);
            } catch (RuntimeException thrown) {
                ObjectNode outcome = failed(thrown);
                outcome.put("stage", stage.type());
                return outcome;
            }
            if (left == null) {
                return JSON.createObjectNode().put("dropped", true);
            }
        }
        return shown(left);
    }

    private static SinkRecord sink(JsonNode form) {
        Schema keySchema = Tagged.schema(form.get("keySchema"));
        Schema valueSchema = Tagged.schema(form.get("valueSchema"));
        return new SinkRecord(form.get("topic").asText(), form.get("partition").asInt(), keySchema, Tagged.read(form.get("key"), keySchema), valueSchema,
            Tagged.read(form.get("value"), valueSchema), form.get("offset").asLong(), timestamp(form), TimestampType.CREATE_TIME, headers(form));
    }

    private static SourceRecord source(JsonNode form) {
        Schema keySchema = Tagged.schema(form.get("keySchema"));
        Schema valueSchema = Tagged.schema(form.get("valueSchema"));
        Integer partition = form.get("partition").isNull() ? null : form.get("partition").asInt();
        return new SourceRecord(Map.of(), Map.of(), form.get("topic").asText(), partition, keySchema, Tagged.read(form.get("key"), keySchema), valueSchema,
            Tagged.read(form.get("value"), valueSchema), timestamp(form), headers(form));
    }

    private static Long timestamp(JsonNode form) {
        return form.get("timestamp").isNull() ? null : form.get("timestamp").asLong();
    }

    private static ConnectHeaders headers(JsonNode form) {
        ConnectHeaders headers = new ConnectHeaders();
        for (JsonNode header : form.get("headers")) {
            Schema schema = Tagged.schema(header.get("schema"));
            headers.add(header.get("key").asText(), Tagged.read(header.get("value"), schema), schema);
        }
        return headers;
    }

    private static ObjectNode shown(ConnectRecord<?> record) {
        ObjectNode outcome = JSON.createObjectNode().put("topic", record.topic()).put("timestamp", record.timestamp());
        outcome.set("keySchema", Tagged.schemaJson(record.keySchema()));
        outcome.set("key", Tagged.write(record.key()));
        outcome.set("valueSchema", Tagged.schemaJson(record.valueSchema()));
        outcome.set("value", Tagged.write(record.value()));
        plain("keyJson", record.keySchema(), record.key(), outcome);
        plain("valueJson", record.valueSchema(), record.value(), outcome);
        ArrayNode headers = outcome.putArray("headers");
        for (Header header : record.headers()) {
            headers.addArray().add(header.key()).add(Tagged.schemaJson(header.schema())).add(Tagged.write(header.value()));
        }
        return outcome;
    }

    /** What a connector that writes JSON would write of a value without a schema. */
    private static void plain(String name, Schema schema, Object value, ObjectNode outcome) {
        if (schema == null && value != null) {
            try {
                outcome.put(name, new String(PLAIN.fromConnectData("t", null, value), StandardCharsets.UTF_8));
            } catch (RuntimeException thrown) {
                outcome.set(name, described(thrown));
            }
        }
    }

    private static Converter converter(JsonNode given) throws Refused, ReflectiveOperationException {
        Converter converter = made(given.get("class").asText(), Converter.class);
        boolean isKey = given.get("is_key").asBoolean();
        Map<String, String> settings = texts(given.get("config"));
        settings.put("converter.type", isKey ? "key" : "value");
        try {
            converter.configure(settings, isKey);
        } catch (RuntimeException refused) {
            throw new Refused(refused);
        }
        return converter;
    }

    private static HeaderConverter headerConverter(JsonNode given) throws Refused, ReflectiveOperationException {
        HeaderConverter converter = made(given.get("class").asText(), HeaderConverter.class);
        Map<String, String> settings = texts(given.get("config"));
        settings.put("converter.type", "header");
        try {
            converter.configure(settings);
        } catch (RuntimeException refused) {
            throw new Refused(refused);
        }
        return converter;
    }

    private static byte[] payload(JsonNode form) {
        return form.isNull() ? null : Base64.getDecoder().decode(form.asText());
    }

    private static ObjectNode shown(SchemaAndValue read) {
        ObjectNode outcome = JSON.createObjectNode();
        outcome.set("schema", Tagged.schemaJson(read == null ? null : read.schema()));
        outcome.set("value", Tagged.write(read == null ? null : read.value()));
        return outcome;
    }

    private static ObjectNode shown(byte[] written) {
        ObjectNode outcome = JSON.createObjectNode();
        return outcome.put("bytes", written == null ? null : Base64.getEncoder().encodeToString(written));
    }

    private static void toConnect(JsonNode given, ObjectNode answer) throws Refused, ReflectiveOperationException {
        Converter converter = converter(given);
        ArrayNode outcomes = answer.putArray("outcomes");
        for (JsonNode form : given.get("payloads")) {
            try {
                outcomes.add(shown(converter.toConnectData("t", payload(form))));
            } catch (RuntimeException | StackOverflowError thrown) {
                outcomes.add(failed(thrown));
            }
        }
    }

    private static void fromConnect(JsonNode given, ObjectNode answer) throws Refused, ReflectiveOperationException {
        Converter converter = converter(given);
        Schema schema = Tagged.schema(given.get("schema"));
        ArrayNode outcomes = answer.putArray("outcomes");
        for (JsonNode form : given.get("values")) {
            Object value = Tagged.read(form, schema);
            try {
                outcomes.add(shown(converter.fromConnectData("t", schema, value)));
            } catch (RuntimeException thrown) {
                outcomes.add(failed(thrown));
            }
        }
    }

    private static void toHeader(JsonNode given, ObjectNode answer) throws Refused, ReflectiveOperationException {
        HeaderConverter converter = headerConverter(given);
        ArrayNode outcomes = answer.putArray("outcomes");
        for (JsonNode form : given.get("payloads")) {
            try {
                outcomes.add(shown(converter.toConnectHeader("t", "h", payload(form))));
            } catch (RuntimeException | StackOverflowError thrown) {
                outcomes.add(failed(thrown));
            }
        }
    }

    private static void fromHeader(JsonNode given, ObjectNode answer) throws Refused, ReflectiveOperationException {
        HeaderConverter converter = headerConverter(given);
        Schema schema = Tagged.schema(given.get("schema"));
        ArrayNode outcomes = answer.putArray("outcomes");
        for (JsonNode form : given.get("values")) {
            Object value = Tagged.read(form, schema);
            try {
                outcomes.add(shown(converter.fromConnectHeader("t", "h", schema, value)));
            } catch (RuntimeException thrown) {
                outcomes.add(failed(thrown));
            }
        }
    }
}
