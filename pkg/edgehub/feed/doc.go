// Package feed fills a view from an API server: by a streaming list where it has that, else by a list in chunks, and then by a watch, which goes on where it was after a
// cut. While nothing comes it tries again, and the view stays as it is.
//
// # What is asked upstream
//
//	GET PATH?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true    the view is unknown, or what it has cannot be gone on from
//	GET PATH?limit=500                                                                                      the same, of an API server that refuses that
//	GET PATH?limit=1                                                                                        else, after a watch that was cut off: what upstream has come to
//	GET PATH?watch=true&resourceVersion=N&allowWatchBookmarks=true                                          else
//
// with the selectors of the view, and JSON. A list without a resourceVersion is of the last state there is, as View.Replace needs it. An
// API server that was set back is silent to who watches from a later resourceVersion than it has: it is listed. Whoever was away for longer than Config.Stale lists, too: by then one that was set back
// may have come to where it was, with other objects.
//
// # What is not believed
//
// A view is changed only by what says that it is of the view's kind, group, version and namespace, with a resourceVersion, in JSON by its Content-Type. A list has to have items, all of its chunks
// one resourceVersion, and none of its objects a later one; it is of no more than 256 MiB, and an event of 16. A captive portal, a Status, a null in place of a list are errors, and the view stays as
// it is. A streaming list that says nothing for half a minute, and has not come to its end, has an event that is too large, or takes longer than ten minutes, is given up, and listed in chunks. After an event that is not taken
// the view is listed: it would come again.
//
// A Feed is run once.
package feed
