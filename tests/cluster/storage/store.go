package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/klog/v2"
)

const (
	defaultSize = 1 << 30
	fiFreeze    = 0xC0045877
	fiThaw      = 0xC0045878
)

var (
	idPattern = regexp.MustCompile(`^(vol|snap)-[0-9a-f]{32}$`)
	minSize   = map[string]int64{"": 1 << 20, "ext4": 1 << 20, "xfs": 300 << 20} // mkfs.xfs refuses less
)

// driver implements the three CSI services. It keeps no state in memory.
type driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedControllerServer
	csi.UnimplementedNodeServer

	name        string
	store       string
	nodeID      string
	noSnapshots bool
	mu          sync.Mutex // held by every call that changes something
}

// ---- store: ID.img with ID.json beside it; what has no JSON does not exist

type meta struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Size    int64     `json:"size"`
	Source  string    `json:"source,omitempty"` // the volume or snapshot that the image was copied from
	Created time.Time `json:"created"`
	ReadyAt time.Time `json:"readyAt"`
	Grow    bool      `json:"grow,omitempty"`    // the image is larger than its file system
	Targets []string  `json:"targets,omitempty"` // where a volume is published
}

func makeID(prefix, name string) string {
	return fmt.Sprintf("%s-%x", prefix, sha256.Sum256([]byte(name)))[:len(prefix)+33]
}

func (d *driver) path(id, suffix string) string {
	if strings.HasPrefix(id, "snap-") {
		return filepath.Join(d.store, "snapshots", id+suffix)
	}
	return filepath.Join(d.store, "volumes", id+suffix)
}

func (d *driver) init() error {
	for _, dir := range []string{"volumes", "snapshots"} {
		if err := os.MkdirAll(filepath.Join(d.store, dir), 0o700); err != nil {
			return err
		}
	}
	a, b := filepath.Join(d.store, ".probe-a"), filepath.Join(d.store, ".probe-b")
	defer os.Remove(a)
	defer os.Remove(b)
	if err := errors.Join(os.WriteFile(a, []byte("probe"), 0o600), reflink(a, b)); err != nil {
		return fmt.Errorf("no reflink copies here: %w", err)
	}
	// A process that died within a snapshot has left a file system frozen.
	frozen, _ := filepath.Glob(filepath.Join(d.store, "volumes", "*.frozen"))
	for _, marker := range frozen {
		if points, err := d.mountsOf(strings.TrimSuffix(marker, ".frozen") + ".img"); err == nil && len(points) > 0 {
			klog.Warningf("thaw %s: %v", points[0].point, ioctl(points[0].point, fiThaw))
		}
		os.Remove(marker)
	}
	return nil
}

func (d *driver) load(prefix, id string) (*meta, error) {
	missing := status.Errorf(codes.NotFound, "%q does not exist", id)
	if !idPattern.MatchString(id) || !strings.HasPrefix(id, prefix+"-") {
		return nil, missing
	}
	data, err := os.ReadFile(d.path(id, ".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	}
	m := &meta{}
	if err == nil {
		err = json.Unmarshal(data, m)
	}
	return m, err
}

func (d *driver) save(m *meta) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	tmp := d.path(m.ID, ".json.tmp")
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return errors.Join(syncFile(tmp), os.Rename(tmp, d.path(m.ID, ".json")), syncFile(filepath.Dir(tmp)))
}

// Blocks given back at once: the store's journal makes others wait for all of them together.
const freeStep = 64 << 20

// shrink gives the blocks of an image back bit by bit, so that volumes in use feel nothing of the end of another.
func shrink(img string) error {
	info, err := os.Stat(img)
	if err != nil {
		return err
	}
	for size := info.Size() - freeStep; size > 0; size -= freeStep {
		if err := os.Truncate(img, size); err != nil {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

func (d *driver) remove(id string) error {
	if err := shrink(d.path(id, ".img")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, suffix := range []string{".img.tmp", ".img", ".json.tmp", ".json"} {
		if err := os.Remove(d.path(id, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// copyImage makes a reflink copy of an image, with its file system frozen if it is mounted.
func (d *driver) copyImage(id, dst string) (err error) {
	points, err := d.mountsOf(d.path(id, ".img"))
	if err != nil {
		return err
	}
	if len(points) > 0 {
		// The freeze writes what is dirty while everybody waits: most of it is written before.
		if err := syncAll(points[0].point); err != nil {
			return err
		}
		marker := d.path(id, ".frozen")
		if err := os.WriteFile(marker, nil, 0o600); err != nil {
			return err
		}
		defer os.Remove(marker)
		switch e := ioctl(points[0].point, fiFreeze); {
		case e == nil:
			defer func() {
				if e := ioctl(points[0].point, fiThaw); e != nil && err == nil {
					err = fmt.Errorf("thaw %s: %w", points[0].point, e)
				}
			}()
		case !errors.Is(e, unix.EBUSY): // EBUSY: someone else froze it, and will thaw it
			return fmt.Errorf("freeze %s: %w", points[0].point, e)
		}
	}
	return reflink(d.path(id, ".img"), dst)
}
