// Lines for the host's log, which adds pipeline, function and position, and cuts and counts. Natively they go to standard
// error. Nothing to rely on: a host may drop lines.

import { host } from "#host";

const at = (level) => (message) => host.write(level, String(message));

export const log = { trace: at("trace"), debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
