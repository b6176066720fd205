// VK_EXT_layer_settings for Vulkan headers older than 1.3.272, such as those of Debian 12.
//
// ggml-vulkan passes this structure to vkCreateInstance, and uses nothing else that those headers lack. A loader that does not know
// the structure skips it. Names, order and values are those of the Vulkan specification, "VkLayerSettingsCreateInfoEXT(3)".

#pragma once

#include <vulkan/vulkan.hpp>

#ifndef VK_EXT_layer_settings

#include <vector>

namespace vk {

enum class LayerSettingTypeEXT { eBool32 = 0 };

struct LayerSettingEXT {
    const char *        pLayerName;
    const char *        pSettingName;
    LayerSettingTypeEXT type;
    uint32_t            valueCount;
    const void *        pValues;
};

struct LayerSettingsCreateInfoEXT {
    explicit LayerSettingsCreateInfoEXT(const std::vector<LayerSettingEXT> & settings) :
        settingCount(uint32_t(settings.size())), pSettings(settings.data()) {}

    VkStructureType         sType = VkStructureType(1000496000);
    const void *            pNext = nullptr;
    uint32_t                settingCount;
    const LayerSettingEXT * pSettings;
};

}  // namespace vk

#endif
