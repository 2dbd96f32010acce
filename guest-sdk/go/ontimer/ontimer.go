// Package ontimer exports the contract's `on-timer`, beside a processor that sets timers. A component has this interface when
// its program imports this package.
package ontimer

import millstream "millstream.example/millstream/guest-sdk/go"

var exported millstream.OnTimer

// Export makes onTimer the one that the host asks. Call it from init, or from the start of a lifecycle.
func Export(onTimer millstream.OnTimer) { exported = onTimer }
