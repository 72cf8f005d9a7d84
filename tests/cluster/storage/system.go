package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ---- system

func run(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, text)
	}
	return text, err
}

// loopOf returns the loop device that an image is attached to, or "".
func loopOf(img string) (string, error) {
	if _, err := os.Stat(img); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	out, err := run("losetup", "--noheadings", "--output", "NAME", "--associated", img)
	dev, _, _ := strings.Cut(out, "\n")
	return strings.TrimSpace(dev), err
}

func devNumber(dev string) string {
	var s unix.Stat_t
	if err := unix.Stat(dev, &s); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d:%d", unix.Major(s.Rdev), unix.Minor(s.Rdev))
}

type mountEntry struct {
	dev, point, fsType, source string
	readonly                   bool
}

func mounts() ([]mountEntry, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var entries []mountEntry
	for line := range strings.Lines(string(data)) {
		left, right, _ := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if len(l) < 6 || len(r) < 2 {
			continue
		}
		entries = append(entries, mountEntry{
			dev: l[2], point: unescape.Replace(l[4]), fsType: r[0], source: unescape.Replace(r[1]),
			readonly: slices.Contains(strings.Split(l[5], ","), "ro"),
		})
	}
	return entries, nil
}

// mountAt returns the topmost mount at a path, or nil.
func mountAt(path string) (*mountEntry, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	entries, err := mounts()
	for i := len(entries) - 1; i >= 0; i-- {
		if entries[i].point == filepath.Clean(path) {
			return &entries[i], nil
		}
	}
	return nil, err
}

func (d *driver) mountsOf(img string) ([]mountEntry, error) {
	dev, err := loopOf(img)
	if err != nil || dev == "" {
		return nil, err
	}
	number := devNumber(dev)
	entries, err := mounts()
	return slices.DeleteFunc(entries, func(e mountEntry) bool { return e.dev != number }), err
}

// unmount removes whatever is mounted at a path.
func unmount(path string) error {
	for {
		e, err := mountAt(path)
		if err != nil || e == nil {
			return err
		}
		if err := unix.Unmount(e.point, unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", e.point, err)
		}
	}
}

func ioctl(path string, request uint) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetInt(int(f.Fd()), request, 0)
}

func reflink(src, dst string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlFileClone(int(out.Fd()), int(in.Fd())), out.Close())
}

// syncAll writes everything dirty of the file system that is mounted at a point.
func syncAll(point string) error {
	f, err := os.Open(point)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
