// Aggregators: fold records into states one by one, over the contract's groups. Not the store: the host keeps states.

import { column, items } from "./columns.js";
import { recordsOf, refusing } from "./records.js";

function groupsOf({ keys, starts, ends }) {
  const window = (index) => (starts.length > 0 ? { start: Number(starts[index]), end: Number(ends[index]) } : null);
  return items(keys).map((key, index) => ({ key, window: window(index) }));
}

function fold(aggregator, take, groups, batch, host, each) {
  const [records, states, rejected] = [recordsOf(batch, host), items(groups.states), []];
  const folded = groupsOf(groups).map((group, index) => {
    const stored = states[index];
    let state = stored === null ? aggregator.start(group) : aggregator.decode(stored);
    let added = false;
    for (let place = groups.offsets[index]; place < groups.offsets[index + 1]; place++) {
      const left = refusing(rejected, place, null, () => {
        state = take(state, records[groups.members[place]]);
        added = true;
        return each ? (aggregator.finish(state, group) ?? null) : null;
      });
      each?.push(left);
    }
    // A group whose every record was refused is as it was: stored bytes, or nothing.
    if (!added) return stored;
    return aggregator.gone?.(state) ? null : aggregator.encode(state);
  });
  return { states: column(folded), rejected };
}

/** Folds the members of each group into its state: the contract's `folded`. */
export const add = (aggregator, groups, batch, host) =>
  fold(aggregator, (state, record) => aggregator.add(state, record), groups, batch, host);

/** Takes the members of each group out of its state. */
export const remove = (aggregator, groups, batch, host) =>
  fold(aggregator, (state, record) => aggregator.remove(state, record), groups, batch, host);

/** Folds, and finishes after each record: the contract's `scanned`. */
export function scan(aggregator, groups, batch, host) {
  const values = [];
  const folded = fold(aggregator, (state, record) => aggregator.add(state, record), groups, batch, host, values);
  return { ...folded, values: column(values) };
}

/** What leaves the pipeline for each group; null where nothing was stored. */
export function finish(aggregator, groups) {
  const all = groupsOf(groups);
  const result = (state, index) => (state === null ? null : (aggregator.finish(aggregator.decode(state), all[index]) ?? null));
  return column(items(groups.states).map(result));
}

/** Joins two states of each key; a null side leaves the other as it is. */
export function merge(aggregator, left, right) {
  const rights = items(right);
  return column(
    items(left).map((one, index) => {
      const other = rights[index];
      if (one === null || other === null) return one ?? other;
      return aggregator.encode(aggregator.merge(aggregator.decode(one), aggregator.decode(other)));
    }),
  );
}
