// Runs a program of WebAssembly and WASI in node, as cargo runs tests: `node --single-threaded node.mjs PROGRAM ARGUMENTS…`.
// It sees all files. Without that flag node 20 may crash at the end, while other threads of its own still compile.

import { readFile } from "node:fs/promises";
import process, { argv, env } from "node:process";
import { WASI } from "node:wasi";

const wasi = new WASI({ version: "preview1", args: argv.slice(2), env, preopens: { "/": "/" } });
const program = await WebAssembly.compile(await readFile(argv[2]));
process.exitCode = wasi.start(await WebAssembly.instantiate(program, wasi.getImportObject()));
