package v1alpha1

import "time"

// An Event of the system namespace says that the datastore has credentials in the clear. Servers write it again every NotEncryptedEvery while
// that is so: one that is older than twice that is of the past.
const (
	NotEncryptedEvent  = "koinon-encryption"
	NotEncryptedReason = "CredentialsNotEncrypted"
	NotEncryptedEvery  = 5 * time.Minute
)
