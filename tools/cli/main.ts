#!/usr/bin/env node
// The command line program token-gateway: tools for whoever integrates Alipay+. One file per command.
import { readFileSync } from "node:fs";
import { Command } from "commander";
import * as conform from "./conform.js";
import * as doctor from "./doctor.js";
import * as explain from "./explain.js";
import * as keys from "./keys.js";
import { exitCodes, runCommand } from "./output.js";
import * as refusals from "./refusals.js";
import * as simulate from "./simulate.js";

const commands = [conform, doctor, explain, keys, refusals, simulate];

const root = new URL(import.meta.url.endsWith(".ts") ? "../../" : "../../../", import.meta.url);
const { version } = JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as { version: string };

const program = new Command("token-gateway")
  .description("Tools for whoever integrates Alipay+, against any MPP endpoint.")
  .version(version)
  .addHelpText("after", `\nEnds with ${exitCodes.map(({ code, meaning }) => `${code} ${meaning}`).join("; ")}.`);
for (const { register } of commands) register(program);
await runCommand(program);
