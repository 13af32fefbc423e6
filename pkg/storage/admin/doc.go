// Package admin is what an operator does with a datastore as a whole: look at it, compact it,
// back it up, restore it, and move what is in it to another one.
//
//	store, err := admin.Parse("mysql://…", dataDir, admin.Access{})
//	...
//	err = admin.Backup(ctx, store, "backup", admin.BackupOptions{Software: version.Version()})
//
// Backups and compactions do not disturb servers that use the datastore. Restores can be done
// beside them: they notice, and their clients list again. Migrations want both datastores for
// themselves.
//
// Everything can be interrupted at any moment, and done again. Errors are one sentence, which
// says what to do; what has changed nothing says so. None holds a password.
//
// Nothing here may be called for one datastore by several goroutines at once.
package admin
