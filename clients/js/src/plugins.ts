/** What one action of a plugin takes and gives. */
export interface ActionTypes {
  input: object;
  result: unknown;
}

/** Actions by plugin: what `mozaiks plugin types` writes is of this kind. */
export type PluginTypes = { [plugin: string]: { [action: string]: ActionTypes } };

/** No plugin's actions are known. */
export type NoPlugins = Record<never, never>;

/** The names of those whose actions are known. */
export type KnownPlugin<P> = Extract<keyof P, string>;

/** What an action takes. */
export type InputOf<P, N extends keyof P, A extends keyof P[N]> = P[N][A] extends { input: infer I }
  ? I & { action: A }
  : never;

/** What an action answers. */
export type ResultOf<P, N extends keyof P, A extends keyof P[N]> = P[N][A] extends {
  result: infer R;
}
  ? R
  : never;

/** A name, but not of a plugin whose actions are known. */
export type OtherPlugin<P, N extends string> = N & (N extends keyof P ? never : unknown);
