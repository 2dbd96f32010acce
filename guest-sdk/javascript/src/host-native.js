// No host: tests. What records know besides themselves is what a test gives them.

export const host = { begin() {}, write: (level, message) => process.stderr.write(`${level}: ${message}\n`) };
