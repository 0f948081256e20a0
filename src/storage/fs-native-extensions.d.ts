declare module 'fs-native-extensions' {
  /** Takes an exclusive lock on the open file; false when another holder has it. Freed when the descriptor closes. */
  export function tryLock(fd: number): boolean;
}
