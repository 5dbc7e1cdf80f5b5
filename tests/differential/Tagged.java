import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;

/** Values with their classes, {"int32": 5}, and schemas as JsonConverter writes them. */
final class Tagged {
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
    private static final JsonConverter SCHEMAS = new JsonConverter();

    static {
        SCHEMAS.configure(Map.of("converter.type", "value"), false);
    }

    private Tagged() {}

    static Schema schema(JsonNode form) {
        return form == null || form.isNull() ? null : SCHEMAS.asConnectSchema(form);
    }

    static JsonNode schemaJson(Schema schema) {
        return schema == null ? NODES.nullNode() : SCHEMAS.asJsonSchema(schema);
    }

    /** The object of a value; its schema only says what structs are made of. */
    static Object read(JsonNode form, Schema schema) {
        if (form.isNull()) {
            return null;
        }
        Map.Entry<String, JsonNode> entry = form.properties().iterator().next();
        JsonNode inner = entry.getValue();
        return switch (entry.getKey()) {
            case "boolean" -> inner.asBoolean();
            case "int8" -> (byte) inner.asInt();
            case "int16" -> (short) inner.asInt();
            case "int32" -> inner.asInt();
            case "int64" -> inner.asLong();
            case "float32" -> Float.parseFloat(inner.asText());
            case "float64" -> Double.parseDouble(inner.asText());
            case "string" -> inner.asText();
            case "bytes" -> Base64.getDecoder().decode(inner.asText());
            case "date" -> new Date(inner.asLong());
            case "decimal" -> new BigDecimal(inner.asText());
            case "bigint" -> new BigInteger(inner.asText());
            case "array" -> {
                List<Object> items = new ArrayList<>();
                inner.forEach(item -> items.add(read(item, schema == null ? null : schema.valueSchema())));
                yield items;
            }
            case "map" -> {
                Map<Object, Object> map = new HashMap<>();
                inner.forEach(pair -> map.put(read(pair.get(0), schema == null ? null : schema.keySchema()),
                    read(pair.get(1), schema == null ? null : schema.valueSchema())));
                yield map;
            }
            case "struct" -> {
                Struct struct = new Struct(schema);
                for (Field field : schema.fields()) {
                    Object value = read(inner.get(field.name()), field.schema());
                    if (value != null || field.schema().isOptional()) {
                        struct.put(field, value);
                    }
                }
                yield struct;
            }
            default -> throw new IllegalArgumentException("no class is called " + entry.getKey());
        };
    }

    static JsonNode write(Object value) {
        if (value == null) {
            return NODES.nullNode();
        }
        ObjectNode tagged = NODES.objectNode();
        if (value instanceof Boolean it) {
            tagged.put("boolean", it);
        } else if (value instanceof Byte it) {
            tagged.put("int8", it.intValue());
        } else if (value instanceof Short it) {
            tagged.put("int16", it.intValue());
        } else if (value instanceof Integer it) {
            tagged.put("int32", it);
        } else if (value instanceof Long it) {
            tagged.put("int64", it);
        } else if (value instanceof Float it) {
            // The double of its text.
            tagged.set("float32", number(Double.parseDouble(it.toString())));
        } else if (value instanceof Double it) {
            tagged.set("float64", number(it));
        } else if (value instanceof String it) {
            tagged.put("string", it);
        } else if (value instanceof byte[] it) {
            tagged.put("bytes", Base64.getEncoder().encodeToString(it));
        } else if (value instanceof ByteBuffer it) {
            byte[] bytes = new byte[it.remaining()];
            it.duplicate().get(bytes);
            tagged.put("bytes", Base64.getEncoder().encodeToString(bytes));
        } else if (value instanceof Date it) {
            tagged.put("date", it.getTime());
        } else if (value instanceof BigDecimal it) {
            tagged.put("decimal", it.toString());
        } else if (value instanceof BigInteger it) {
            tagged.put("bigint", it.toString());
        } else if (value instanceof List<?> it) {
            ArrayNode items = tagged.putArray("array");
            it.forEach(item -> items.add(write(item)));
        } else if (value instanceof Map<?, ?> it) {
            ArrayNode pairs = tagged.putArray("map");
            it.forEach((key, inner) -> pairs.addArray().add(write(key)).add(write(inner)));
        } else if (value instanceof Struct it) {
            ObjectNode fields = tagged.putObject("struct");
            it.schema().fields().forEach(field -> fields.set(field.name(), write(it.getWithoutDefault(field.name()))));
        } else {
            tagged.put("unknown", value.getClass().getName());
        }
        return tagged;
    }

    private static JsonNode number(double value) {
        if (Double.isNaN(value) || Double.isInfinite(value)) {
            return NODES.textNode(Double.toString(value));
        }
        return NODES.numberNode(value);
    }
}
