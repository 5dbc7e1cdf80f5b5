import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.sourcelab.kafka.connect.apiclient.Configuration;
import org.sourcelab.kafka.connect.apiclient.KafkaConnectClient;
import org.sourcelab.kafka.connect.apiclient.request.dto.ConnectorPluginConfigDefinition;
import org.sourcelab.kafka.connect.apiclient.request.dto.NewConnectorDefinition;
import org.sourcelab.kafka.connect.apiclient.request.post.PostConnectorRestart;
import org.sourcelab.kafka.connect.apiclient.rest.exceptions.InvalidRequestException;

/**
 * Has a KafkaConnectClient make calls: a line of standard input is {"call": method, "arguments": [...]}, a line of standard output what the method returned, by its
 * getters, or threw.
 */
public final class Sourcelab {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Sourcelab() {}

    public static void main(String[] arguments) throws IOException {
        var client = new KafkaConnectClient(new Configuration(arguments[0]));
        var calls = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var outcomes = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (String line = calls.readLine(); line != null; line = calls.readLine()) {
            outcomes.println(JSON.writeValueAsString(make(client, JSON.readTree(line))));
        }
    }

    private static Map<String, Object> make(KafkaConnectClient client, JsonNode call) throws IOException {
        Map<String, Object> outcome = new LinkedHashMap<>();
        JsonNode given = call.get("arguments");
        Method method = method(call.get("call").asText(), given);
        Object[] arguments = new Object[given.size()];
        for (int i = 0; i < arguments.length; i++) {
            arguments[i] = argument(given.get(i), method.getParameterTypes()[i]);
        }
        try {
            Object returned = method.invoke(client, arguments);
            // By the declared type: what an interface does not show is not part of the outcome.
            var writer = JSON.writerFor(JSON.constructType(method.getGenericReturnType()));
            outcome.put("returned", JSON.readTree(writer.writeValueAsString(returned)));
        } catch (InvocationTargetException wrapped) {
            Throwable thrown = wrapped.getCause();
            outcome.put("threw", thrown.getClass().getSimpleName());
            outcome.put("message", thrown.getMessage());
            if (thrown instanceof InvalidRequestException) {
                outcome.put("code", ((InvalidRequestException) thrown).getErrorCode());
            }
        } catch (IllegalAccessException impossible) {
            throw new IllegalStateException(impossible);
        }
        return outcome;
    }

    /** The method of that name which takes these arguments. */
    private static Method method(String name, JsonNode given) {
        for (Method method : KafkaConnectClient.class.getMethods()) {
            Class<?>[] types = method.getParameterTypes();
            boolean fits = method.getName().equals(name) && types.length == given.size();
            for (int i = 0; fits && i < types.length; i++) {
                fits = given.get(i).isTextual() == (types[i] == String.class);
            }
            if (fits) {
                return method;
            }
        }
        throw new IllegalArgumentException("the client has no method " + name + " that takes " + given);
    }

    private static Object argument(JsonNode given, Class<?> type) {
        if (type == NewConnectorDefinition.class) {
            return new NewConnectorDefinition(given.get("name").asText(), config(given));
        }
        if (type == ConnectorPluginConfigDefinition.class) {
            return new ConnectorPluginConfigDefinition(given.get("name").asText(), config(given));
        }
        if (type == PostConnectorRestart.class) {
            return new PostConnectorRestart(given.get("name").asText())
                .withIncludeTasks(given.get("includeTasks").asBoolean())
                .withOnlyFailed(given.get("onlyFailed").asBoolean());
        }
        return JSON.convertValue(given, type);
    }

    @SuppressWarnings("unchecked")
    private static Map<String, String> config(JsonNode given) {
        return JSON.convertValue(given.get("config"), Map.class);
    }
}
