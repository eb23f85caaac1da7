// Runs inside the sandbox, in QuickJS: calls the stranger's `main` and writes what came of it.
//
// It is no part of the wall around the code, which is the host's: it only puts an end into words. Standard input
// holds `input` and `random`; the source is the one file there is; the answer follows the mark in standard output.
import * as std from "qjs:std";

const MARK = "\x1eagentflow-answer\x1e";
const LONGEST_TEXT = 2000;
const NO_SUCH_GLOBALS = new Set([
  "require", "process", "fetch", "XMLHttpRequest", "WebSocket", "Deno", "Bun", "Buffer", "Worker", "std", "os",
  "WebAssembly", "setTimeout", "setInterval",
]);
const { parse, stringify } = JSON;

function short(text) {
  const half = LONGEST_TEXT / 2;
  return text.length <= LONGEST_TEXT ? text : `${text.slice(0, half)}\n…\n${text.slice(-half)}`;
}

function answer(facts) {
  std.out.puts(MARK + stringify(facts));
  std.out.flush();
  std.exit(0);
}

function describe(error) {
  try {
    return short(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
  } catch {
    return "(its text cannot be had)";
  }
}

function tracebackOf(error) {
  try {
    return short(typeof error.stack === "string" ? error.stack.trimEnd() : "");
  } catch {
    return "";
  }
}

function isDenied(error) {
  if (!(error instanceof ReferenceError)) return false;
  const missing = /^'?([\w$]+)'? is not defined$/.exec(error.message);
  return missing ? NO_SUCH_GLOBALS.has(missing[1]) : error.message.startsWith("could not load module");
}

function fail(error) {
  const reason = describe(error);
  if (reason === "InternalError: out of memory") answer({ kind: "memory" });
  if (/^(InternalError: stack overflow|RangeError: Maximum call stack size exceeded)/.test(reason)) {
    answer({ kind: "recursion", reason });
  }
  answer({ kind: isDenied(error) ? "denied" : "raised", reason, traceback: tracebackOf(error) });
}

// sfc32 (Chris Doty-Humphrey, PractRand), with 53 bits of two draws.
function seededRandom([a, b, c, counter]) {
  function draw() {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return sum >>> 0;
  }
  for (let round = 0; round < 12; round++) draw();
  return () => ((draw() >>> 5) * 67108864 + (draw() >>> 6)) / 9007199254740992;
}

function printable(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return `${value.name}: ${value.message}\n${value.stack}`;
  try {
    return stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

function log(...values) {
  std.err.puts(`${values.map(printable).join(" ")}\n`);
}

async function run() {
  const request = parse(std.in.readAsString());
  const random = seededRandom(request.random);
  Math.random = function () {
    return random();
  };
  globalThis.print = log;
  globalThis.console = { log, info: log, warn: log, error: log, debug: log, trace: log };
  const mainKey = "agentflow.main";
  let main;
  try {
    const module = await import("/main.js");
    main = globalThis[mainKey] ?? module.main ?? module.default;
    delete globalThis[mainKey];
  } catch (error) {
    if (error instanceof SyntaxError) answer({ kind: "syntax", reason: short(`${error.message}\n${tracebackOf(error)}`) });
    fail(error);
  }
  if (typeof main !== "function") answer({ kind: "no_main" });
  let output;
  try {
    output = await main(request.input);
  } catch (error) {
    fail(error);
  }
  let text;
  try {
    text = stringify(output);
  } catch (error) {
    const reason = describe(error);
    if (reason.startsWith("InternalError: ")) fail(error);
    answer({ kind: "not_json", reason });
  }
  if (text === undefined) answer({ kind: "not_json", reason: `main returned ${typeof output}` });
  std.out.puts(`${MARK}{"kind":"output","output":${text}}`);
  std.out.flush();
  std.exit(0);
}

await run();
