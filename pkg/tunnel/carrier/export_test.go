package carrier

import "time"

// GiveUpDirectAfter is how long the direct way is tried.
func (d *Dialer) GiveUpDirectAfter(t time.Duration) { d.giveUpAfter = t }

// ConnectBy asks an HTTP proxy to connect.
var ConnectBy = connectBy
