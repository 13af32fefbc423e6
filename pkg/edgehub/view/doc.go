// Package view has in memory what upstream lists and watches have given: for each a View, which is one complete, ordered copy of what the list had and of what has
// become of it.
//
// A View is unknown until it was Replaced for the first time, and complete from then on, unless it is forgotten. It does not know whether anybody still fills it: offline is when nobody
// does. Who fills it says what is so upstream, in the order of upstream: Replace with a whole list, Apply with an event, Advance with a bookmark. What a Replace
// finds to be different becomes events, in an order in which no watcher's resourceVersion goes back.
//
// # Watchers
//
// A watcher starts behind a resourceVersion, and gets every event after it, once, or is told that the View does not know them any more (ErrExpired): then he has to list. The events that a
// View remembers bound how far behind a watcher may be, and how far back one may start. One that starts ahead of the View waits: he knows more than it does, and gets what
// comes behind his resourceVersion.
//
// A list that cannot come after what the View has is believed, as of an API server that was set back, and expires all watchers. Who watched nothing just then, and comes with a
// resourceVersion of before, is as badly off as he is with the API server.
//
// # Memory
//
// Objects are bytes as upstream sent them, and never changed. One of the same kind, name and resourceVersion is there once, however many Views and events have it.
//
// # Narrower
//
// What a Filter lets through of a complete View is a complete view, too, if the Filter can be decided from objects alone: labels, namespaces, and some fields.
//
// All of it may be used concurrently.
package view
