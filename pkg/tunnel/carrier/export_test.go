package carrier

import "time"

// GiveUpDirectAfter is how long the direct way is tried.
func (d *Dialer) GiveUpDirectAfter(t time.Duration) { d.giveUpAfter = t }
