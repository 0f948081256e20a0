export * from '../../scripts/demo/authenticator.js';
