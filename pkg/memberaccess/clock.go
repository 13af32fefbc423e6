package memberaccess

import (
	"time"

	"github.com/koinon-io/koinon/pkg/apis/federation/accounts"
)

// Ahead is by how much the clock of a server is ahead of the one here, less than 0 if it is behind. said is what it was for an answer
// that was asked for and came at these times. It has whole seconds, and the answer took a while: what is returned is the least that it can be,
// and 0 if there may be no difference.
func Ahead(said, asked, came time.Time) time.Duration {
	if ahead := said.Sub(came); ahead > 0 {
		return ahead
	}
	if behind := asked.Sub(said.Add(time.Second)); behind > 0 {
		return -behind
	}
	return 0
}

// AheadOf is Ahead of whoever made a token; ok is false if the token does not say when that was.
func AheadOf(token string, asked, came time.Time) (ahead time.Duration, ok bool) {
	claims, _ := accounts.ReadAnyClaims(token)
	if claims.Issued.IsZero() {
		return 0, false
	}
	return Ahead(claims.Issued, asked, came), true
}
