package ipam

import "golang.org/x/sys/unix"

// isVolatile reports whether a directory is in memory.
func isVolatile(dir string) bool {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return false
	}
	kind := uint32(fs.Type) // of another size on each architecture
	return kind == unix.TMPFS_MAGIC || kind == unix.RAMFS_MAGIC
}
