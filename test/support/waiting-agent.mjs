// An agent's process: asks for a token for one call, waits for a person, and says on stdout what happens, one JSON a line.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { directory, file, issuer, key, dpop, resource, subjectToken } = JSON.parse(readFileSync(0, 'utf8'));
const { createAgent } = await import(pathToFileURL(join(directory, 'src', 'sdk', 'agent', 'index.js')).href);
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const read = () => {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return [];
  }
};
// Written whole or not at all, whenever the process is killed.
const write = async (deferrals) => {
  writeFileSync(`${file}.new`, JSON.stringify(deferrals), { mode: 0o600 });
  renameSync(`${file}.new`, file);
};
const store = {
  all: async () => read(),
  keep: (one) => write([...read().filter(({ id }) => id !== one.id), one]),
  forget: (id) => write(read().filter((one) => one.id !== id)),
};

const onWaiting = (waiting) => say({ waiting });
const agent = createAgent({
  issuer,
  clientId: 'agt_planner',
  key,
  ...(dpop && { dpop }),
  waiting: { store, onWaiting },
});
const tools = [{ name: 'write_file', arguments: { path: '/a' } }];
say({ token: await agent.exchange({ subjectToken, resource, tools }) });
