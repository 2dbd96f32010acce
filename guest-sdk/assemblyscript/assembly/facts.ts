//! What the host knows about the records of a call beside the records: headers, stream times, windows, inputs. Not a store,
//! and nothing that changes while a call runs. Each is fetched when it is first asked for, once a call; a function that never
//! asks does not even import it.

import { HeaderColumns } from "./columns";
import { alloc } from "./memory";

@external("millstream:udf/context@0.1.0", "headers")
declare function headersInto(at: usize): void;
@external("millstream:udf/context@0.1.0", "stream-times")
declare function streamTimesInto(at: usize): void;
@external("millstream:udf/context@0.1.0", "windows")
declare function windowsInto(at: usize): void;
@external("millstream:udf/context@0.1.0", "inputs")
declare function inputsInto(at: usize): void;

/** Where the host's answers lie, in the layout of the canonical ABI; 0: not asked for yet. @internal */
export class Facts {
  private headersAt: usize = 0;
  private streamTimesAt: usize = 0;
  private windowsAt: usize = 0;
  private inputsAt: usize = 0;

  /** None when no record has any. */
  headers(): HeaderColumns | null {
    if (!this.headersAt) {
      this.headersAt = alloc(60);
      headersInto(this.headersAt);
    }
    return load<u8>(this.headersAt) ? changetype<HeaderColumns>(this.headersAt + 4) : null;
  }

  streamTime(index: i32): i64 {
    if (!this.streamTimesAt) {
      this.streamTimesAt = alloc(8);
      streamTimesInto(this.streamTimesAt);
    }
    const at = this.streamTimesAt;
    return <usize>index < load<usize>(at, 4) ? load<i64>(load<usize>(at) + (<usize>index << 3)) : 0;
  }

  /** A place behind the tag: starts, then ends, each a place and a length. */
  private windows(): usize {
    if (!this.windowsAt) {
      this.windowsAt = alloc(20);
      windowsInto(this.windowsAt);
    }
    return this.windowsAt + 4;
  }

  hasWindow(index: i32): bool {
    const at = this.windows();
    return load<u8>(at - 4) != 0 && <usize>index < load<usize>(at, 4) && <usize>index < load<usize>(at, 12);
  }

  windowStart(index: i32): i64 {
    return this.hasWindow(index) ? load<i64>(load<usize>(this.windows()) + (<usize>index << 3)) : 0;
  }

  windowEnd(index: i32): i64 {
    return this.hasWindow(index) ? load<i64>(load<usize>(this.windows(), 8) + (<usize>index << 3)) : 0;
  }

  input(index: i32): i32 {
    if (!this.inputsAt) {
      this.inputsAt = alloc(12);
      inputsInto(this.inputsAt);
    }
    const at = this.inputsAt;
    const known = load<u8>(at) != 0 && <usize>index < load<usize>(at, 8);
    return known ? <i32>load<u32>(load<usize>(at, 4) + (<usize>index << 2)) : 0;
  }
}
