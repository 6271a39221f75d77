// Writes who is at each pixel. Depth, and cut-outs of leaves and signs, as in the picture.
in vec3 uv;
flat in vec4 tinted;
flat in vec4 state;
out uint result;
#ifdef CUTOUT
uniform sampler2DArray pictures;
#endif

void main() {
#ifdef CUTOUT
    if (texture(pictures, vec3(uv.xy, state.w)).a < 0.5) discard;
#endif
    result = uint(tinted.a + 0.5);
}
