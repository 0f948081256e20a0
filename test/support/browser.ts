export * from '../../scripts/demo/browser.js';
