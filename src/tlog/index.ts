export { fromBase64, fromBase64url } from './base64.js';
export {
  type Checkpoint,
  type CheckpointFlaw,
  formatCheckpoint,
  openCheckpoint,
  type Opened,
  parseCheckpoint,
  type Trusted,
} from './checkpoint.js';
export { emptyRoot, type Hash, HASH_BYTES, leafHash, nodeHash } from './hash.js';
export {
  cosignatureLine,
  formatNote,
  type Note,
  type NoteFlaw,
  type NoteSignature,
  parseLine,
  parseNote,
  signatureLine,
  type Signed,
  verifyNote,
} from './note.js';
export { consistencyProof, inclusionProof, rangeProof, rootAt, type RootMaker, type TileReader } from './prove.js';
export { rememberRoots } from './remember.js';
export { type Span } from './spans.js';
export {
  edgeTiles,
  entriesPath,
  entryBundle,
  hashesAt,
  parseEntryBundle,
  parseTilePath,
  type Tile,
  TILE_WIDTH,
  tileHashes,
  tileOf,
  type TilePath,
  tilePath,
} from './tiles.js';
export { type GrownTile, Tree } from './tree.js';
export { type ProofFlaw, rangeRoot, type TreeHead, verifyConsistency, verifyInclusion, verifyRange } from './verify.js';
export { isKeyName, parseVerifierKey, SignatureType, type VerifierKey, verifierKey } from './vkey.js';
