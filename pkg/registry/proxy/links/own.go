package links

import "net/http"

// Own returns what carries requests as the account of the credential itself. It is for what this
// server asks a member by itself, and never for what a caller names: nobody in the member asks who
// may.
func (l *Link) Own() http.RoundTripper { return l.plain }
