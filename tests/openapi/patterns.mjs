// Reads {pattern: [text, …]} and writes {pattern: [whether each text matches]}, as every client in a browser would see it.
import { readFileSync } from "node:fs";

const asked = JSON.parse(readFileSync(0, "utf-8"));
const told = Object.entries(asked).map(([pattern, texts]) => {
  const expression = new RegExp(pattern, "u");
  return [pattern, texts.map((text) => expression.test(text))];
});
process.stdout.write(JSON.stringify(Object.fromEntries(told)));
