// Package serving answers reads as an API server does, from views: GET, LIST, WATCH, and WATCH with initial events (streaming lists), the same whether upstream is there or
// not. What no view can answer goes upstream; what cannot go there either is answered with 503 and Retry-After, and never with what is not known.
//
// Three answers: an object, 404 of one that is known not to be there, and 503 of one of which nothing is known.
//
// # Lists
//
// A list, or an object, is of what the view has, also without a resourceVersion, where API servers ask their database: not of the last there is. Of a resourceVersion that
// the view has not come to, it waits three seconds. limit and continue give chunks of one moment; if what is left has changed since, the answer is 410, and the client begins anew.
// As PartialObjectMetadata, objects are their metadata. Tables, and what can be read as protobuf only, are upstream's.
//
// # What is wrong, or not known
//
// Options that an API server would refuse, a resourceVersion that the view has not come to, one that is asked for exactly and is another, and continue tokens of API servers are
// upstream's to answer. While it is away, the answer is 400 or 422, 504 (too large resource version), and 410.
//
// # Watches
//
// Without a resourceVersion, or with 0, a watch begins with what there is, as ADDED. Bookmarks, for those who allow them, come each minute, and after initial events. A watcher that the view cannot
// go on for gets 410 as an event, also if it could not begin, as of API servers. Watches last as long as they were asked for, a day at most, or half an hour. Who does
// not read what he is sent is left five seconds after his watch was to be over, and a minute after his list was begun.
//
// # What differs from an API server
//
// A client that would rather read protobuf, and can read JSON, gets JSON. An empty list of metadata has items [], not null. A watch from a resourceVersion that an API server
// remembers, and the view does not, is too old. Of a kind of which the hub has seen no object it is not known whether it has namespaces: it is taken to, and an empty view answers.
//
// # What is refused
//
// Options are read as API servers read them, by the same code: 400 of what cannot be read, 422 of what does not go together. A path with an empty part, with dots for one, with an encoded slash, or
// with what no name in Kubernetes has, is no read of objects, and upstream's.
//
// Who may read what is decided before: a Handler does not ask.
package serving
