package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func TestProvisioner(t *testing.T) {
	store := os.Getenv("LOOPDISK_TEST_STORE")
	if store == "" {
		t.Skip("LOOPDISK_TEST_STORE is not set")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d := &driver{name: testDriver, store: store, nodeID: "n"}
	if err := d.init(); err != nil {
		t.Fatal(err)
	}
	reclaim, binding := v1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingImmediate
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Provisioner: testDriver, ReclaimPolicy: &reclaim, VolumeBindingMode: &binding, MountOptions: []string{"noatime"}}
	claim := func(name, group, kind, source string, modes ...v1.PersistentVolumeAccessMode) *v1.PersistentVolumeClaim {
		pvc := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: types.UID("uid-" + name), Annotations: map[string]string{"volume.kubernetes.io/storage-provisioner": testDriver}}}
		pvc.Spec.StorageClassName = &class.Name
		pvc.Spec.AccessModes = modes
		pvc.Spec.Resources.Requests = v1.ResourceList{v1.ResourceStorage: resource.MustParse("10Mi")}
		if kind != "" {
			pvc.Spec.DataSource = &v1.TypedLocalObjectReference{APIGroup: &group, Kind: kind, Name: source}
		}
		return pvc
	}
	first := claim("first", "", "", "", v1.ReadWriteOnce)
	client := fake.NewClientset(class, first)
	object := func(kind, namespace, name string, fields map[string]any) *unstructured.Unstructured {
		meta := map[string]any{"name": name, "uid": "snap-uid"}
		if namespace != "" {
			meta["namespace"] = namespace
		}
		fields["apiVersion"], fields["kind"], fields["metadata"] = snapshotGroup+"/v1", kind, meta
		return &unstructured.Unstructured{Object: fields}
	}
	snap := object("VolumeSnapshot", "ns", "s", map[string]any{"status": map[string]any{"boundVolumeSnapshotContentName": "sc", "readyToUse": false}})
	content := object("VolumeSnapshotContent", "", "sc", map[string]any{
		"spec":   map[string]any{"driver": testDriver, "volumeSnapshotRef": map[string]any{"uid": "snap-uid"}},
		"status": map[string]any{"snapshotHandle": makeID("snap", "missing")}})
	gvr := schema.GroupVersionResource{Group: snapshotGroup, Version: "v1", Resource: "volumesnapshots"}
	p := &provisioner{driver: d, client: client, dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{gvr: "VolumeSnapshotList", gvr.GroupVersion().WithResource("volumesnapshotcontents"): "VolumeSnapshotContentList"}, snap, content)}

	// the whole controller, for one claim
	pc := controller.NewProvisionController(ctx, client, testDriver, p, controller.LeaderElection(false), controller.AddFinalizer(true))
	go pc.Run(ctx)
	var pv *v1.PersistentVolume
	for pv == nil && ctx.Err() == nil {
		list, _ := client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
		if len(list.Items) > 0 {
			pv = &list.Items[0]
		}
		time.Sleep(50 * time.Millisecond)
	}
	if pv == nil || pv.Spec.CSI.FSType != "ext4" || pv.Spec.MountOptions[0] != "noatime" || pv.Spec.ClaimRef.Name != "first" {
		t.Fatalf("%+v", pv)
	}
	first.Status.Phase, first.Spec.VolumeName = v1.ClaimBound, pv.Name
	if _, err := client.CoreV1().PersistentVolumeClaims("ns").Update(ctx, first, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}

	provision := func(pvc *v1.PersistentVolumeClaim) (*v1.PersistentVolume, error) {
		pv, _, err := p.Provision(ctx, controller.ProvisionOptions{StorageClass: class, PVName: "pvc-" + pvc.Name, PVC: pvc})
		return pv, err
	}
	expect := func(err error, text string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Fatalf("want %q, got %v", text, err)
		}
		t.Log(err)
	}
	_, err := provision(claim("rox", "", "", "", v1.ReadOnlyMany))
	expect(err, "only ReadWriteOnce")
	_, err = provision(claim("restored", snapshotGroup, "VolumeSnapshot", "s", v1.ReadWriteOnce))
	expect(err, "not ready to use")
	snap.Object["status"].(map[string]any)["readyToUse"] = true
	if _, err := p.dynamic.Resource(gvr).Namespace("ns").Update(ctx, snap, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = provision(claim("restored", snapshotGroup, "VolumeSnapshot", "s", v1.ReadWriteOnce))
	expect(err, "does not exist")
	_, err = provision(claim("populated", "example.com", "Other", "x", v1.ReadWriteOnce))
	if _, ok := err.(*controller.IgnoredError); !ok {
		t.Fatal(err)
	}
	clone, err := provision(claim("clone", "", "PersistentVolumeClaim", "first", v1.ReadWriteOncePod))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []*v1.PersistentVolume{clone, pv} {
		if err := p.Delete(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
}
