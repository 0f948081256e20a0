// A reporter for Stryker that tells of each survivor at once, so that a run that is cut short has not run for nothing.
import { declareClassPlugin, PluginKind } from '@stryker-mutator/api/plugin';

class Survivors {
  #counts = {};

  onMutantTested({ status, fileName, location: { start }, mutatorName, replacement }) {
    this.#counts[status] = (this.#counts[status] ?? 0) + 1;
    if (status !== 'Survived' && status !== 'NoCoverage') return;
    const place = `${fileName.slice(process.cwd().length + 1)}:${start.line}:${start.column}`;
    console.log(`${status} ${place} ${mutatorName} ${replacement}\n  so far ${JSON.stringify(this.#counts)}`);
  }
}

export const strykerPlugins = [declareClassPlugin(PluginKind.Reporter, 'survivors', Survivors)];
