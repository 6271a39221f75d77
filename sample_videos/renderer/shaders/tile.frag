// Marks the pixels of one thing inside its own tile.
in vec3 uv;
flat in vec4 state;
flat in vec4 inside;
out uint result;
#ifdef CUTOUT
uniform sampler2DArray pictures;
#endif

void main() {
#ifdef CUTOUT
    if (texture(pictures, vec3(uv.xy, state.w)).a < 0.5) discard;
#endif
    if (any(lessThan(gl_FragCoord.xy, inside.xy)) || any(greaterThan(gl_FragCoord.xy, inside.zw)))
        discard;
    result = 1u;
}
