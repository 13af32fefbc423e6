package install

import (
	"io/fs"
	"syscall"
)

func ownerOf(info fs.FileInfo) *owner {
	is, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return &owner{UID: int(is.Uid), GID: int(is.Gid)}
}
