//go:build !linux

package install

import "io/fs"

func ownerOf(fs.FileInfo) *owner { return nil }
