/* storage.h - vectors of the storage that a file is being compiled for: loaded as float32, stored rounded to nearest
 * even. With float32 both are plain copies.
 */
#ifndef RGZ_STORAGE_H
#define RGZ_STORAGE_H

#if RGZ_STORAGE == RGZ_F32
RGZ_INLINE vf vr_load(const rgz_real *p) { return vf_load(p); }
RGZ_INLINE vf vr_load_n(const rgz_real *p, rgz_int n) { return vf_load_n(p, n); }
RGZ_INLINE void vr_store(rgz_real *p, vf v) { vf_store(p, v); }
RGZ_INLINE void vr_store_n(rgz_real *p, vf v, rgz_int n) { vf_store_n(p, v, n); }
#elif RGZ_STORAGE == RGZ_BF16
RGZ_INLINE vf vr_load(const rgz_real *p) { return vf_load_bf16(p); }
RGZ_INLINE vf vr_load_n(const rgz_real *p, rgz_int n) { return vf_load_bf16_n(p, n); }
RGZ_INLINE void vr_store(rgz_real *p, vf v) { vf_store_bf16(p, v); }
RGZ_INLINE void vr_store_n(rgz_real *p, vf v, rgz_int n) { vf_store_bf16_n(p, v, n); }
#else
RGZ_INLINE vf vr_load(const rgz_real *p) { return vf_load_f16(p); }
RGZ_INLINE vf vr_load_n(const rgz_real *p, rgz_int n) { return vf_load_f16_n(p, n); }
RGZ_INLINE void vr_store(rgz_real *p, vf v) { vf_store_f16(p, v); }
RGZ_INLINE void vr_store_n(rgz_real *p, vf v, rgz_int n) { vf_store_f16_n(p, v, n); }
#endif

#endif
