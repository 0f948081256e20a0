// A reporter for Stryker that tells of each survivor at once, and how far it has come, so that a run that is cut short has not run for nothing.
import { declareClassPlugin, PluginKind } from '@stryker-mutator/api/plugin';

class Survivors {
  #counts = {};
  #tested = 0;

  onMutantTested({ status, fileName, location: { start }, mutatorName, replacement }) {
    this.#counts[status] = (this.#counts[status] ?? 0) + 1;
    if (status !== 'Ignored' && ++this.#tested % 20 === 0) console.log(`so far ${JSON.stringify(this.#counts)}`);
    if (status !== 'Survived' && status !== 'NoCoverage') return;
    const place = `${fileName.slice(process.cwd().length + 1)}:${start.line}:${start.column}`;
    console.log(`${status} ${place} ${mutatorName} ${replacement}`);
  }
}

export const strykerPlugins = [declareClassPlugin(PluginKind.Reporter, 'survivors', Survivors)];
