// Has a KafkaConnectClient for Node make calls: `node npm.mjs FOLDER URL`, where FOLDER has its node_modules. A line of standard input is
// {"call": method, "arguments": [...]}, where a method of one connector is "connector.method" and has the connector's name as its first argument; a line of
// standard output is what came of it.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, url] = process.argv.slice(2);
const { KafkaConnectClient } = createRequire(`${folder}/`)("kafka-connect-client");
const { hostname: host, port } = new URL(url);
const client = new KafkaConnectClient({ host, port });

function made(call, given) {
  if (!call.startsWith("connector.")) {
    return client[call](...given);
  }
  const [name, ...others] = given;
  return client.connector(name)[call.slice("connector.".length)](...others);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { call, arguments: given } = JSON.parse(line);
  let outcome;
  try {
    const { status, data } = await made(call, given);
    outcome = { status, data };
  } catch (error) {
    outcome = { threw: error.message, code: error.code, status: error.response?.status, data: error.response?.data };
  }
  console.log(JSON.stringify(outcome));
}
