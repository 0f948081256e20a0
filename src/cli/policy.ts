import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { parseYaml } from '../config/index.js';
import {
  checkPolicySet,
  compilePolicySet,
  PolicyCases,
  type PolicyFile,
  type PolicyFlaw,
  type PolicyTool,
  policyTools,
  runCases,
  toolsOf,
} from '../policy/index.js';
import { McpServer } from '../registry/index.js';
import { Failure, type Io } from './io.js';

type Options = Readonly<{ registry?: string; json?: boolean }>;

/** `writ policy check | test`: what authors run before a set goes anywhere. They talk to no server. */
export function addPolicy(writ: Command, io: Io): Command {
  const policy = writ
    .command('policy')
    .description('Checks and tests policy sets without a server, and changes them in one.');
  const offline = (verb: string, description: string, action: (directory: string, options: Options) => void): Command =>
    policy
      .command(`${verb} <directory>`)
      .description(description)
      .option('-r, --registry <file>', 'YAML with the servers whose reviewed tools the policies are for')
      .option('--json', 'print JSON')
      .action(action);
  offline('check', 'Says what refuses a set, and which of its policies can never apply.', (directory, options) => {
    check(directory, options, io);
  });
  offline('test', 'Runs the cases of every *.test.yaml beside the policies.', (directory, options) => {
    test(directory, options, io);
  });
  return policy;
}

function check(directory: string, { registry, json = false }: Options, io: Io): void {
  const found = checkPolicySet(policyFiles(directory, io), registryTools(registry, io));
  const { hash, policies, flaws, unpermitted } = found;
  // Without its tools nothing is known of what a policy takes in: null, and not every one of them.
  const findings = registry === undefined ? null : found.findings;
  if (json) io.out(JSON.stringify({ ...found, findings }, null, 2));
  else {
    for (const flaw of [...flaws, ...(findings ?? [])]) io.out(sentence(flaw));
    for (const tool of unpermitted) io.out(`no policy permits ${tool} to anybody`);
  }
  if (flaws.length > 0) throw new Failure(1, 'the set is refused');
  if (json) return;
  io.out(`${String(policies)} policies, ${hash ?? ''}`);
  if (findings === null) io.out('Which of them can never apply, and what nobody may call, is found with --registry.');
}

function test(directory: string, { registry, json = false }: Options, io: Io): void {
  const suites = named(directory, '.test.yaml').map((path) => ({
    path,
    cases: read(join(directory, path), PolicyCases, io),
  }));
  if (suites.length === 0) throw new Failure(2, `there is no *.test.yaml in ${directory}`);
  const [files, known] = [policyFiles(directory, io), registryTools(registry, io)];
  const results = suites.flatMap(({ path, cases }) => {
    const set = compilePolicySet(files, [...known, ...toolsOf(cases)], { remember: 0 });
    if (!set.ok) throw new Failure(1, `the set is refused:\n${set.error.map(sentence).join('\n')}`);
    return runCases(set.value, cases).map((result) => ({ file: path, ...result }));
  });
  if (json) io.out(JSON.stringify(results, null, 2));
  else
    for (const { file, name, differences } of results)
      io.out([`${differences.length === 0 ? 'ok  ' : 'FAIL'} ${file}: ${name}`, ...differences].join('\n       '));
  const failed = results.filter(({ differences }) => differences.length > 0).length;
  if (failed > 0) throw new Failure(1, `${String(failed)} of ${String(results.length)} cases are not as wanted`);
  if (!json) io.out(`${String(results.length)} cases are as wanted`);
}

const sentence = ({ path, line, column, policy, problem }: PolicyFlaw): string =>
  `${path}:${String(line)}:${String(column)}: ${policy === undefined ? '' : `${policy}: `}${problem}`;

/** The `.cedar` files of a directory, in the order of their names. */
export function policyFiles(directory: string, io: Io): readonly PolicyFile[] {
  const files = ['.cedar', '.cedarschema', '.entities.json']
    .flatMap((ending) => named(directory, ending))
    .map((path) => ({ path, text: io.readFile(join(directory, path)) ?? '' }));
  if (files.length === 0) throw new Failure(2, `there is no *.cedar in ${directory}`);
  return files;
}

function named(directory: string, ending: string): readonly string[] {
  if (!existsSync(directory)) throw new Failure(2, `there is no directory ${directory}`);
  return readdirSync(directory)
    .filter((name) => name.endsWith(ending))
    .sort();
}

function registryTools(registry: string | undefined, io: Io): readonly PolicyTool[] {
  if (registry === undefined) return [];
  return policyTools(read(registry, z.object({ servers: z.array(McpServer).default([]) }), io).servers);
}

function read<Schema extends z.ZodType>(path: string, schema: Schema, io: Io): z.infer<Schema> {
  const text = io.readFile(path);
  if (text === undefined) throw new Failure(2, `there is no file ${path}`);
  const documents = parseYaml(text);
  if (!documents.ok) throw new Failure(2, `${path}: ${documents.error}`);
  const parsed = schema.safeParse(documents.value[0]);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new Failure(2, `${path}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is not understood'}`);
}
