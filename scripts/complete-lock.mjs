// A registry that serves only some platforms' builds makes `npm install` leave the others out of the lock, and then
// `npm ci` refuses the lock everywhere. This adds an entry for each optional package that a locked one names, so that the
// lock holds for every platform; npm installs only those that fit the machine.
import { readFileSync, writeFileSync } from 'node:fs';

const systems = {
  android: 'android',
  darwin: 'darwin',
  freebsd: 'freebsd',
  linux: 'linux',
  openharmony: 'openharmony',
  win32: 'win32',
};
const processors = ['arm64', 'arm', 'x64', 'ia32', 'ppc64', 's390x', 'riscv64', 'loong64'];

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const at = `node_modules/${name}`;
    const parts = name.split('/').at(-1).split('-');
    const os = parts.map((part) => systems[part]).find(Boolean);
    const cpu = processors.find((processor) => parts.includes(processor));
    if (path === '' || at in lock.packages || os === undefined || cpu === undefined) continue;
    lock.packages[at] = { version, cpu: [cpu], ...(entry.dev ? { dev: true } : {}), optional: true, os: [os] };
    added += 1;
  }
}
const sorted = Object.keys(lock.packages).sort((a, b) => (a < b ? -1 : 1));
lock.packages = Object.fromEntries(sorted.map((path) => [path, lock.packages[path]]));
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added} packages of other platforms added to the lock`);
