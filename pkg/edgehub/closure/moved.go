package closure

import (
	"bytes"
	"strings"
)

// Moved has EndpointSlices of a namespace that name a pod, by its UID, be seen anew: Config.Correct has come to correct them otherwise.
func (c *Closure) Moved(namespace, uid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seen {
		for o := range s.derived.All() {
			if strings.HasPrefix(o.Name, namespace+"/") && bytes.Contains(o.Body, []byte(uid)) {
				s.Put(o) // whether a pod is ready decides where others look for theirs
				c.affected = append(c.affected, o.Name)
			}
		}
	}
	c.again()
}
