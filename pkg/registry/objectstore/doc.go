// Package objectstore provides the REST storage of one static kind: a generic registry
// store whose selectors look at metadata only, its status subresource, its table, and the
// parts of a strategy that all kinds share.
//
// What a kind does differently is in its own package: it embeds Base in its strategy,
// overrides what differs, and calls New. Everything may be called concurrently.
package objectstore
